import Base
import Client

/// `skala volume`
enum VolumeCommands {
    static let group = Command(
        "volume", "Volumes: files that outlive containers", "COMMAND",
        work: .group([list, create, inspect, remove, prune]))

    private static func path(_ name: String) -> String { "/volumes/\(PercentEncoding.encode(name))" }

    private static let list = Command(
        "ls", "List volumes", "[OPTIONS]", 0...0, options: [.quiet, .filter, .format],
        examples: ["skala volume ls --filter dangling=true"]
    ) { call in
        let arguments = call.arguments
        let answer = try call.client.json(.get("/volumes", query: try API.filters(arguments.list("filter"))))
        let rows = (answer["Volumes"].array ?? []).map { volume -> JSON in
            let labels = volume["Labels"].stringPairs ?? []
            return [
                "Driver": volume["Driver"], "Name": volume["Name"], "Mountpoint": volume["Mountpoint"],
                "Scope": volume["Scope"],
                "Labels": JSON(labels.map { "\($0.key)=\($0.value)" }.joined(separator: ",")),
            ]
        }.sorted { $0["Name"].plain < $1["Name"].plain }
        if arguments.flag("quiet"), !arguments.has("format") {
            try call.output.write(rows.map { $0["Name"].plain + "\n" }.joined())
            return 0
        }
        try call.output.list(rows, [("DRIVER", "Driver"), ("VOLUME NAME", "Name")], format: arguments["format"])
        return 0
    }

    private static let create = Command(
        "create", "Make a volume", "[OPTIONS] [VOLUME]", 0...1,
        options: [
            .value("driver", short: "d", "NAME", "Driver (default local)"),
            .list("opt", short: "o", "KEY=VALUE", "Option of the driver"), .list("label", "KEY=VALUE", "Label"),
        ],
        examples: ["skala volume create data", "skala volume create -o type=tmpfs -o device=tmpfs -o o=size=64m tmp"]
    ) { call in
        let body: JSON = [
            "Name": JSON(call.arguments.positional.first ?? ""), "Driver": JSON(call.arguments["driver"] ?? "local"),
            "DriverOpts": KeyValue.object(call.arguments.list("opt")),
            "Labels": KeyValue.object(call.arguments.list("label")),
        ]
        try call.output.line(try call.client.json(.post("/volumes/create", body))["Name"].plain)
        return 0
    }

    private static let inspect = Command(
        "inspect", "Show all that is known of volumes", "[OPTIONS] VOLUME [VOLUME...]", Command.atLeast(1),
        completes: .volumes, options: [.format], examples: ["skala volume inspect --format '{{.Mountpoint}}' data"]
    ) { call in try ObjectInspect.inspect(call) { try call.client.json(.get(path($0))) } }

    private static let remove = Command(
        "rm", "Remove volumes and their files", "[OPTIONS] VOLUME [VOLUME...]", Command.atLeast(1),
        completes: .volumes, options: [.flag("force", short: "f", "What is gone already is no error")],
        examples: ["skala volume rm data"]
    ) { call in
        let query = call.arguments.flag("force") ? [(name: "force", value: "1")] : []
        return try Each.run(call.arguments.positional, call.output) { name in
            try call.client.json(.delete(path(name), query: query))
            return name
        }
    }

    private static let prune = Command(
        "prune", "Remove volumes that no container uses", "[OPTIONS]", 0...0,
        options: [.force, .pruneFilter, .flag("all", short: "a", "Named ones too, not only anonymous ones")],
        examples: ["skala volume prune -f --filter label=scratch"]
    ) { call in
        let what = call.arguments.flag("all") ? "all volumes" : "all anonymous volumes"
        guard try Confirmation.ask("This removes \(what) that no container uses, with their files.", call) else {
            return 0
        }
        let filters = call.arguments.list("filter") + (call.arguments.flag("all") ? ["all=1"] : [])
        try Prune.show(reclaimed: try Prune.volumes(call, filters: filters), call)
        return 0
    }
}
