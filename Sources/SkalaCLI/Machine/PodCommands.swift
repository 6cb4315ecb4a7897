import Base
import Client
import Kernel

/// `skala pod`
enum PodCommands {
    static let group = Command(
        "pod", "Virtual machines that several containers share", "COMMAND",
        work: .group([create, list, inspect, remove, snapshot, restore]))

    private static func path(_ name: String) -> String { "/skala/v1/pods/\(PercentEncoding.encode(name))" }

    private static let create = Command(
        "create", "Make a pod; containers come into it by run --pod NAME", "[OPTIONS] POD", 1...1,
        options: [
            .value("memory", short: "m", "SIZE", "Memory its containers may use together (default 1g)"),
            .value("cpus", "NUMBER", "Processors they may use together (default 2)"),
            .value("network", "NETWORK", "Network of all its containers, or none (default bridge)"),
            .value("ip", "ADDRESS", "Its address on the network"),
            .list("publish", short: "p", "[[ADDRESS:]PORT:]PORT", "Publish a port on the host"),
            .value("hostname", "NAME", "Name of the virtual machine (default that of the pod)"),
            .list("label", "KEY=VALUE", "Label"),
        ],
        examples: ["skala pod create web", "skala pod create --memory 2g --cpus 2 -p 8080:80 --network front shop"]
    ) { call in
        let arguments = call.arguments
        var body: JSON = ["Name": JSON(arguments.positional[0])]
        if let memory = try arguments.bytes("memory") { body["Memory"] = JSON(memory) }
        if let cpus = try ContainerBody.nanoCPUs(arguments) { body["NanoCpus"] = JSON(cpus) }
        if let network = arguments["network"] { body["NetworkMode"] = JSON(network) }
        if let address = arguments["ip"] {
            let key = address.contains(":") ? "IPv6Address" : "IPv4Address"
            body["Endpoint"] = ["IPAMConfig": [key: JSON(address)]]
        }
        if let hostname = arguments["hostname"] { body["Hostname"] = JSON(hostname) }
        let ports = try PortSpec.bindings(arguments.list("publish"))
        if ports != [:] { body["PortBindings"] = ports }
        let labels = arguments.list("label")
        if !labels.isEmpty { body["Labels"] = KeyValue.object(labels) }
        try call.output.line(try call.client.json(.post("/skala/v1/pods/create", body))["Id"].plain)
        return 0
    }

    private static let list = Command(
        "ls", "List pods", "[OPTIONS]", 0...0, options: [.quiet, .noTruncation, .format], examples: ["skala pod ls"]
    ) { call in
        let isFull = call.arguments.flag("no-trunc")
        let pods = try call.client.json(.get("/skala/v1/pods"))["Pods"].array ?? []
        let rows = pods.map { pod -> JSON in
            let id = pod["Id"].string ?? ""
            let containers = pod["Containers"].array ?? []
            let running = containers.filter { ["running", "paused"].contains($0["State"].string) }
            return [
                "ID": JSON(isFull ? id : Identifier.short(id)), "Name": pod["Name"], "State": pod["State"],
                "Containers": JSON("\(running.count)/\(containers.count)"),
                "Memory": JSON("\((pod["Memory"].int ?? 0) >> 20)MiB"), "Cpus": pod["Processors"],
                "Network": pod["Network"], "Address": pod["IPAddress"],
            ]
        }
        if call.arguments.flag("quiet"), !call.arguments.has("format") {
            try call.output.write(rows.map { $0["ID"].plain + "\n" }.joined())
            return 0
        }
        try call.output.list(
            rows,
            [
                ("POD ID", "ID"), ("NAME", "Name"), ("STATE", "State"), ("CONTAINERS", "Containers"),
                ("MEMORY", "Memory"), ("CPUS", "Cpus"), ("NETWORK", "Network"), ("ADDRESS", "Address"),
            ], format: call.arguments["format"])
        return 0
    }

    private static let inspect = Command(
        "inspect", "Show all that is known of pods", "[OPTIONS] POD [POD...]", Command.atLeast(1), options: [.format],
        examples: ["skala pod inspect web", "skala pod inspect --format '{{.IPAddress}}' web"]
    ) { call in
        try ObjectInspect.inspect(call) { try call.client.json(.get(path($0))) }
    }

    private static let snapshot = Command(
        "snapshot",
        "Keep a pod with the memory of all that runs in it; list (ls POD) or remove snapshots (rm POD SNAPSHOT...)",
        "[OPTIONS] POD [SNAPSHOT] | ls POD | rm POD SNAPSHOT [SNAPSHOT...]", Command.atLeast(1),
        options: [.quiet, .format],
        examples: ["skala pod snapshot shop before", "skala pod snapshot ls shop", "skala pod snapshot rm shop before"]
    ) { call in
        let words = call.arguments.positional
        if words[0] == "ls", words.count == 2 {
            return try ContainerSnapshots.list(at: path(words[1]) + "/snapshots", call)
        }
        if words[0] == "rm", words.count > 2 {
            return try Each.run(Array(words.dropFirst(2)), call.output) { name in
                try call.client.json(.delete("\(path(words[1]))/snapshots/\(PercentEncoding.encode(name))"))
                return name
            }
        }
        guard words.count <= 2 else {
            throw SkalaError(.invalid, "one snapshot at a time: skala pod snapshot POD [SNAPSHOT]")
        }
        let body: JSON = words.count == 2 ? ["Name": JSON(words[1])] : [:]
        let answer = try ContainerSnapshots.work(call, path(words[0]) + "/snapshots", body)
        try call.output.line(answer["Snapshot"].plain)
        return 0
    }

    private static let restore = Command(
        "restore", "Take a pod back to a snapshot: its containers go on where they were", "[OPTIONS] POD SNAPSHOT",
        2...2,
        options: [.quiet], examples: ["skala pod restore shop before"]
    ) { call in
        let words = call.arguments.positional
        let target = "\(path(words[0]))/snapshots/\(PercentEncoding.encode(words[1]))/restore"
        _ = try ContainerSnapshots.work(call, target, [:])
        try call.output.line(words[0])
        return 0
    }

    private static let remove = Command(
        "rm", "Remove pods", "[OPTIONS] POD [POD...]", Command.atLeast(1),
        options: [.flag("force", short: "f", "Their containers too")],
        examples: ["skala pod rm web", "skala pod rm -f web"]
    ) { call in
        let query = call.arguments.flag("force") ? [(name: "force", value: "1")] : []
        return try Each.run(call.arguments.positional, call.output) { name in
            try call.client.json(.delete(path(name), query: query))
            return name
        }
    }
}
