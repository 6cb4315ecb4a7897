import Base
import Client
import Kernel

/// `skala ps`
enum ContainerList {
    static let command = Command(
        "ps", "List containers", "[OPTIONS]", 0...0,
        options: [
            .all, .quiet, .noTruncation, .filter, .format, .flag("size", short: "s", "Show their sizes"),
            .value("last", short: "n", "NUMBER", "The last created, in any state"),
            .flag("latest", short: "l", "The last created one, in any state"),
        ] + ComposeTasks.location,
        examples: [
            "skala ps -a", "skala ps --project shop", "skala ps -q --filter label=app=web",
            "skala ps --format '{{.Names}}\\t{{.Status}}'",
        ]
    ) { call in
        let arguments = call.arguments
        if ComposeTasks.isAsked(arguments) { return try ComposeTasks.list(call) }
        var query = try API.filters(arguments.list("filter"))
        if arguments.flag("all") { query.append(("all", "1")) }
        if arguments.flag("size") { query.append(("size", "1")) }
        if let count = arguments.flag("latest") ? 1 : try arguments.int("last") { query.append(("limit", "\(count)")) }
        let containers = try call.client.json(.get("/containers/json", query: query)).array ?? []
        let isFull = arguments.flag("no-trunc")
        if arguments.flag("quiet"), !arguments.has("format") {
            try call.output.write(containers.map { id($0, isFull) + "\n" }.joined())
            return 0
        }
        let now = SystemClock.now()
        let isTable = arguments["format"] ?? "table" == "table"
        let rows = containers.map { ContainerList.row($0, now: now, isFull: isFull, isTable: isTable) }
        try call.output.list(
            rows, columns + (arguments.flag("size") ? [("SIZE", "Size")] : []), format: arguments["format"])
        return 0
    }

    private static let columns = [
        ("CONTAINER ID", "ID"), ("IMAGE", "Image"), ("COMMAND", "Command"), ("CREATED", "RunningFor"),
        ("STATUS", "Status"), ("ISOLATION", "Isolation"), ("ALLOCATION", "Allocation"), ("PORTS", "Ports"),
        ("NAMES", "Names"),
    ]

    private static func id(_ container: JSON, _ isFull: Bool) -> String {
        let id = container["Id"].string ?? ""
        return isFull ? id : Identifier.short(id)
    }

    /// `shared`, or `dedicated (0-1)` with the cores that are the container's own.
    private static func allocation(_ allocation: JSON) -> String {
        let cores = allocation["DedicatedCpus"].string ?? ""
        return (allocation["Mode"].string ?? "shared") + (cores.isEmpty ? "" : " (\(cores))")
    }

    /// A command of several lines must not break the table.
    private static func oneLine(_ text: String) -> String {
        text.map { $0 == "\n" ? "\\n" : $0 == "\t" ? "\\t" : "\($0)" }.joined()
    }

    /// The members that docker's formats name, and ours.
    static func row(_ container: JSON, now: Timestamp, isFull: Bool, isTable: Bool) -> JSON {
        let created = Timestamp(seconds: container["Created"].int ?? 0)
        let command = container["Command"].string ?? ""
        let image = container["Image"].string ?? ""
        let labels = container["Labels"].stringPairs ?? []
        let names = (container["Names"].strings ?? []).map { $0.hasPrefix("/") ? String($0.dropFirst()) : $0 }
        let written = ByteSize.decimal(container["SizeRw"].int ?? 0, digits: 3)
        let whole = ByteSize.decimal(container["SizeRootFs"].int ?? 0, digits: 3)
        let mounts = (container["Mounts"].array ?? []).map { $0["Name"].string ?? $0["Source"].string ?? "" }
        return [
            "ID": JSON(id(container, isFull)),
            "Image": JSON(!isFull && image.hasPrefix("sha256:") ? String(image.dropFirst(7).prefix(12)) : image),
            "Command": JSON("\"" + oneLine(isFull || command.count <= 20 ? command : command.prefix(19) + "…") + "\""),
            "CreatedAt": JSON(created.text),
            "RunningFor": JSON(HumanDuration.text(now.seconds - created.seconds) + " ago"),
            "Status": container["Status"], "State": container["State"],
            "Isolation": JSON(container["Isolation"].string ?? "container"),
            "Allocation": JSON(allocation(container["Allocation"])),
            "Ports": JSON(PortList.text(container["Ports"].array ?? [])), "Names": JSON(names.joined(separator: ",")),
            "Labels": JSON(labels.map { "\($0.key)=\($0.value)" }.joined(separator: ",")),
            "Mounts": JSON(mounts.joined(separator: ",")), "LocalVolumes": JSON("\(mounts.count)"),
            "Networks": JSON((container["NetworkSettings"]["Networks"].object?.keys ?? []).joined(separator: ",")),
            "Size": JSON("\(written) (virtual \(whole))"),
        ]
    }
}
