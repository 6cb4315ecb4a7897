import Base
import Client
import Kernel

/// Snapshots of instances and what is made of them: snapshot, restore, clone, convert.
enum ContainerSnapshots {
    private static func path(_ name: String, _ rest: String) -> String {
        "/skala/v1/containers/\(PercentEncoding.encode(name))\(rest)"
    }

    private static let diskOnly: Option = .flag("disk-only", "The files alone, without the memory of a VM that runs")

    /// Shows the progress on standard error, so that the result is all there is on standard output.
    static func work(_ call: Invocation, _ path: String, _ body: JSON) throws -> JSON {
        var result: JSON = [:]
        let display = call.arguments.flag("quiet") ? nil : ProgressDisplay(descriptor: 2)
        try ProgressDisplay.show(try call.client.send(.post(path, body)), on: display) { result = $0 }
        return result
    }

    static let snapshot = Command(
        "snapshot", "Take a snapshot of an instance, list them (ls NAME), or remove some (rm NAME SNAPSHOT...)",
        "[OPTIONS] CONTAINER [SNAPSHOT] | ls CONTAINER | rm CONTAINER SNAPSHOT [SNAPSHOT...]", Command.atLeast(1),
        completes: .containers, options: [diskOnly, .quiet, .format],
        examples: [
            "skala snapshot db before-upgrade", "skala snapshot --disk-only db", "skala snapshot ls db",
            "skala snapshot rm db before-upgrade",
        ]
    ) { call in
        let words = call.arguments.positional
        if words[0] == "ls", words.count == 2 { return try list(words[1], call) }
        if words[0] == "rm", words.count > 2 {
            return try Each.run(Array(words.dropFirst(2)), call.output) { name in
                try call.client.json(.delete(path(words[1], "/snapshots/\(PercentEncoding.encode(name))")))
                return name
            }
        }
        guard words.count <= 2 else {
            throw SkalaError(.invalid, "one snapshot at a time: skala snapshot CONTAINER [SNAPSHOT]")
        }
        var body: JSON = ["DiskOnly": JSON(call.arguments.flag("disk-only"))]
        if words.count == 2 { body["Name"] = JSON(words[1]) }
        try call.output.line(try work(call, path(words[0], "/snapshots"), body)["Snapshot"].plain)
        return 0
    }

    /// Shows an instance's snapshots; what stands in front of the current one is what it came from.
    static func list(_ name: String, _ call: Invocation) throws -> Int32 {
        try list(at: path(name, "/snapshots"), call)
    }

    static func list(at path: String, _ call: Invocation) throws -> Int32 {
        let snapshots = try call.client.json(.get(path))["Snapshots"].array ?? []
        let now = SystemClock.now()
        let rows = snapshots.map { snapshot -> JSON in
            // The engine's own text.
            let created = snapshot["Created"].string.flatMap { try? Timestamp(parsing: $0) } ?? now
            return [
                "Name": snapshot["Name"],
                "CreatedSince": JSON(HumanDuration.text(now.seconds - created.seconds) + " ago"),
                "CreatedAt": snapshot["Created"], "Size": JSON(ByteSize.decimal(snapshot["Size"].int ?? 0, digits: 3)),
                "Parent": snapshot["Parent"], "Isolation": snapshot["Isolation"],
                "Content": snapshot["Memory"].bool == true ? "files, memory" : "files",
                "Current": snapshot["Current"].bool == true ? "*" : "",
            ]
        }
        if call.arguments.flag("quiet") {
            try call.output.write(rows.map { $0["Name"].plain + "\n" }.joined())
            return 0
        }
        try call.output.list(
            rows,
            [
                ("SNAPSHOT", "Name"), ("CREATED", "CreatedSince"), ("SIZE", "Size"), ("PARENT", "Parent"),
                ("ISOLATION", "Isolation"), ("CONTENT", "Content"), ("CURRENT", "Current"),
            ], format: call.arguments["format"])
        return 0
    }

    static let restore = Command(
        "restore", "Take an instance back to a snapshot", "[OPTIONS] CONTAINER SNAPSHOT", 2...2, completes: .containers,
        options: [diskOnly, .quiet], examples: ["skala restore db before-upgrade"]
    ) { call in
        let words = call.arguments.positional
        let body: JSON = ["DiskOnly": JSON(call.arguments.flag("disk-only"))]
        _ = try work(call, path(words[0], "/snapshots/\(PercentEncoding.encode(words[1]))/restore"), body)
        try call.output.line(words[0])
        return 0
    }

    static let clone = Command(
        "clone", "Make further instances of an instance: a VM that runs goes on in each of them",
        "[OPTIONS] CONTAINER [NAME]", 1...2, completes: .containers,
        options: [
            .value("count", short: "n", "N", "How many; they are called NAME-1, NAME-2, …"),
            .value("snapshot", "SNAPSHOT", "As the instance was then, and not as it is now"), diskOnly, .quiet,
        ],
        examples: [
            "skala clone db db-test", "skala clone worker --count 10", "skala clone --snapshot before-upgrade db old",
        ]
    ) { call in
        let words = call.arguments.positional
        var body: JSON = ["DiskOnly": JSON(call.arguments.flag("disk-only"))]
        if words.count == 2 { body["Name"] = JSON(words[1]) }
        if let count = try call.arguments.int("count") { body["Count"] = JSON(count) }
        if let snapshot = call.arguments["snapshot"] { body["Snapshot"] = JSON(snapshot) }
        for made in try work(call, path(words[0], "/clone"), body)["Clones"].array ?? [] {
            try call.output.line(made["Name"].plain)
        }
        return 0
    }

    static let convert = Command(
        "convert", "Give an instance another isolation; its files, volumes and name stay, and its address where it can",
        "[OPTIONS] --to ISOLATION CONTAINER", 1...1, completes: .containers,
        options: [
            .value("to", "ISOLATION", "container, pod or microvm", .words(["container", "pod", "microvm"])),
            .value("pod", "NAME", "The pod it comes into, made when there is none; without, one of its own"), .quiet,
        ],
        examples: ["skala convert web --to microvm", "skala convert web --to pod --pod shop"]
    ) { call in
        guard let target = call.arguments["to"] else { throw SkalaError(.invalid, "--to is missing: --to microvm") }
        let name = call.arguments.positional[0]
        var body: JSON = ["Isolation": JSON(target)]
        if let pod = call.arguments["pod"] { body["Pod"] = JSON(pod) }
        for warning in try work(call, path(name, "/convert"), body)["Warnings"].strings ?? [] {
            StandardStreams.error("skala: warning: \(warning)\n")
        }
        try call.output.line(name)
        return 0
    }
}
