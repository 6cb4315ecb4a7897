import Base
import Client
import Kernel

/// `skala service`
enum ServiceCommands {
    static let group = Command(
        "service", "Services: so many tasks, kept running", "COMMAND",
        work: .group([
            ServiceCreate.command, list, tasks, inspect, scale, rollback, logs, remove, ServiceExplain.command,
        ]))

    static func path(_ name: String, _ rest: String = "") -> String {
        "/services/\(PercentEncoding.encode(name))\(rest)"
    }

    private static let list = Command(
        "ls", "List services", "[OPTIONS]", 0...0, options: [.quiet, .noTruncation, .filter, .format],
        examples: ["skala service ls", "skala service ls --filter label=tier=front"]
    ) { call in
        let arguments = call.arguments
        let filters = try API.filters(arguments.list("filter"))
        let services =
            try call.client.json(.get("/services", query: [(name: "status", value: "1")] + filters)).array ?? []
        let rows = services.map { service -> JSON in
            let status = service["ServiceStatus"]
            let mode = service["Spec"]["Mode"].object?.keys.first ?? ""
            return [
                "ID": shortened(service["ID"], arguments), "Name": service["Spec"]["Name"], "Mode": JSON(mode),
                "Replicas": JSON("\(status["RunningTasks"].plain)/\(status["DesiredTasks"].plain)"),
                "Image": service["Spec"]["TaskTemplate"]["ContainerSpec"]["Image"],
                "Isolation": service["Spec"]["TaskTemplate"]["ContainerSpec"]["Isolation"],
                "Ports": JSON(ports(service["Spec"]["EndpointSpec"]["Ports"])),
            ]
        }
        if arguments.flag("quiet"), !arguments.has("format") {
            try call.output.write(rows.map { $0["ID"].plain + "\n" }.joined())
        } else {
            try call.output.list(
                rows,
                [
                    ("ID", "ID"), ("NAME", "Name"), ("MODE", "Mode"), ("REPLICAS", "Replicas"), ("IMAGE", "Image"),
                    ("ISOLATION", "Isolation"), ("PORTS", "Ports"),
                ], format: arguments["format"])
        }
        return 0
    }

    private static func ports(_ ports: JSON) -> String {
        (ports.array ?? []).map { "*:\($0["PublishedPort"].plain)->\($0["TargetPort"].plain)/\($0["Protocol"].plain)" }
            .joined(separator: ", ")
    }

    private static func shortened(_ id: JSON, _ arguments: Arguments) -> JSON {
        arguments.flag("no-trunc") ? id : JSON(String(id.plain.prefix(12)))
    }

    private static let tasks = Command(
        "ps", "List the tasks of services", "[OPTIONS] SERVICE [SERVICE...]", Command.atLeast(1),
        options: [.quiet, .noTruncation, .filter, .format],
        examples: ["skala service ps web", "skala service ps --filter desired-state=running web"]
    ) { call in
        let arguments = call.arguments
        var texts = arguments.list("filter")
        for name in arguments.positional {
            texts.append("service=" + (try call.client.json(.get(path(name)))["ID"].plain))
        }
        var names: [String: String] = [:]
        for service in try call.client.json(.get("/services")).array ?? [] {
            names[service["ID"].plain] = service["Spec"]["Name"].plain
        }
        let tasks = try call.client.json(.get("/tasks", query: try API.filters(texts))).array ?? []
        let now = SystemClock.now()
        let rows = tasks.map { task -> JSON in
            let slot = task["Slot"].isNull ? task["NodeID"].plain : task["Slot"].plain
            let since = (try? Timestamp(parsing: task["Status"]["Timestamp"].plain)) ?? now  // the engine's own text
            return [
                "ID": shortened(task["ID"], arguments),
                "Name": JSON((names[task["ServiceID"].plain] ?? task["ServiceID"].plain) + "." + slot),
                "Image": task["Spec"]["ContainerSpec"]["Image"], "Desired": task["DesiredState"],
                "State": task["Status"]["State"], "Since": JSON(HumanDuration.text(now.seconds - since.seconds)),
                "Error": task["Status"]["Err"],
            ]
        }
        if arguments.flag("quiet"), !arguments.has("format") {
            try call.output.write(rows.map { $0["ID"].plain + "\n" }.joined())
        } else {
            try call.output.list(
                rows,
                [
                    ("ID", "ID"), ("NAME", "Name"), ("IMAGE", "Image"), ("DESIRED", "Desired"), ("STATE", "State"),
                    ("SINCE", "Since"), ("ERROR", "Error"),
                ], format: arguments["format"])
        }
        return 0
    }

    private static let inspect = Command(
        "inspect", "Show all that is known of services", "[OPTIONS] SERVICE [SERVICE...]", Command.atLeast(1),
        options: [.format], examples: ["skala service inspect web"]
    ) { call in try ObjectInspect.inspect(call) { try call.client.json(.get(path($0))) } }

    private static let scale = Command(
        "scale", "Change how many tasks replicated services have", "SERVICE=REPLICAS [SERVICE=REPLICAS...]",
        Command.atLeast(1), examples: ["skala service scale web=5 worker=0"]
    ) { call in
        try Each.run(call.arguments.positional, call.output) { text in
            let (name, value) = KeyValue.split(text)
            guard let replicas = Int64(value), replicas >= 0 else {
                throw SkalaError(.invalid, "invalid scale '\(text)': expected SERVICE=REPLICAS, such as web=5")
            }
            let service = try call.client.json(.get(path(name)))
            var spec = service["Spec"]
            guard !spec["Mode"]["Replicated"].isNull else {
                throw SkalaError(.invalid, "\(name): only replicated services are scaled")
            }
            spec["Mode"]["Replicated"]["Replicas"] = JSON(replicas)
            _ = try call.client.json(.post(path(name, "/update"), query: version(of: service), spec))
            return "\(name) scaled to \(replicas)"
        }
    }

    private static func version(of service: JSON) -> [(name: String, value: String)] {
        [(name: "version", value: service["Version"]["Index"].plain)]
    }

    private static let rollback = Command(
        "rollback", "Go back to what services were before their last change", "SERVICE [SERVICE...]",
        Command.atLeast(1), examples: ["skala service rollback web"]
    ) { call in
        try Each.run(call.arguments.positional, call.output) { name in
            let service = try call.client.json(.get(path(name)))
            let query = version(of: service) + [(name: "rollback", value: "previous")]
            _ = try call.client.json(.post(path(name, "/update"), query: query, service["Spec"]))
            return name
        }
    }

    private static let logs = Command(
        "logs", "Show what the tasks of a service have written", "[OPTIONS] SERVICE", 1...1,
        options: [
            .flag("follow", short: "f", "Go on with what they write from now on"),
            .flag("timestamps", short: "t", "Show when each line was written"),
            .value("tail", short: "n", "LINES", "Only the last lines of each task (default all)"),
        ],
        examples: ["skala service logs -f web"]
    ) { call in
        let arguments = call.arguments
        var query = [
            (name: "stdout", value: "1"), (name: "stderr", value: "1"),
            (name: "tail", value: arguments["tail"] ?? "all"),
        ]
        for name in ["follow", "timestamps"] where arguments.flag(name) { query.append((name: name, value: "1")) }
        let response = try call.client.send(.get(path(arguments.positional[0], "/logs"), query: query))
        return try ContainerLogs.show(response, call.output)
    }

    private static let remove = Command(
        "rm", "Remove services with their tasks", "SERVICE [SERVICE...]", Command.atLeast(1),
        examples: ["skala service rm web"]
    ) { call in
        try Each.run(call.arguments.positional, call.output) { name in
            _ = try call.client.send(.delete(path(name))).all()
            return name
        }
    }
}
