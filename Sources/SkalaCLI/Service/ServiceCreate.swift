import Base
import Client

/// `skala service create`
enum ServiceCreate {
    static let command = Command(
        "create", "Make a service", "[OPTIONS] IMAGE [COMMAND] [ARGUMENT...]", Command.atLeast(1), completes: .images,
        stopsAtArgument: true,
        options: [
            .value("name", "NAME", "Name of the service (needed)"),
            .value("replicas", "NUMBER", "Tasks (default 1)"),
            .flag("global", "One task on every node"),
            .list("env", short: "e", "KEY=VALUE", "Environment variable"),
            .list("label", short: "l", "KEY=VALUE", "Label of the service: skala.http.*, skala.autoscale.*, …"),
            .list("container-label", "KEY=VALUE", "Label of its containers"),
            .list("network", "NETWORK", "Network of its tasks", .networks),
            .list("publish", short: "p", "[PORT:]PORT", "Publish a port"),
            .list("publish-host", "[PORT:]PORT", "Publish a port of each task on its own node"),
            .list("secret", "SECRET", "Secret, to be found at /run/secrets/NAME"),
            .list("constraint", "EXPRESSION", "Where its tasks may run: node.labels.disk==ssd"),
            .value("limit-memory", "SIZE", "Memory a task may use"),
            .value("limit-cpu", "NUMBER", "Processors a task may use"),
            .value("reserve-memory", "SIZE", "Memory kept for a task"),
            .value("reserve-cpu", "NUMBER", "Processors kept for a task"),
            .value(
                "isolation", "ISOLATION", "How tasks are kept apart", .words(["container", "pod", "microvm"])),
            .value(
                "allocation", "MODE", "How resources are given", .words(["dedicated", "shared", "best-effort"])),
            .value("pod", "NAME", "Pod the tasks share"),
            .value("tenant", "NAME", "Whose they are: tenants share no kernel"),
        ],
        examples: [
            "skala service create --name web --replicas 3 -p 8080:80 nginx",
            "skala service create --name api --isolation microvm --limit-memory 256m registry.example/api:2",
            "skala service create --name shop -p 80:8080 -l skala.http.host=shop.example -l skala.http.path=/ shop:1",
            "skala service create --name fn -p 80:80 -l skala.http.port=80 -l skala.autoscale.min=0 -l skala.autoscale.max=9 fn:1",
        ]
    ) { call in
        let service = try specification(call.arguments, secrets: { try secret($0, call) })
        try call.output.line(try call.client.json(.post("/services/create", service))["ID"].plain)
        return 0
    }

    private static func secret(_ name: String, _ call: Invocation) throws -> JSON {
        let secret = try call.client.json(.get("/secrets/\(PercentEncoding.encode(name))"))
        return [
            "SecretID": secret["ID"], "SecretName": secret["Spec"]["Name"],
            "File": ["Name": secret["Spec"]["Name"], "UID": "0", "GID": "0", "Mode": 0o444],
        ]
    }

    /// The API's `ServiceSpec`.
    static func specification(_ arguments: Arguments, secrets: (String) throws -> JSON) throws -> JSON {
        guard let name = arguments["name"] else { throw SkalaError(.invalid, "a service needs a name: --name NAME") }
        var container: JSON = ["Image": JSON(arguments.positional[0])]
        let command = Array(arguments.positional.dropFirst())
        if !command.isEmpty { container["Args"] = JSON(command) }
        let variables = arguments.list("env")
        if !variables.isEmpty { container["Env"] = JSON(KeyValue.environment(variables, Environment.value)) }
        if let isolation = arguments["isolation"] { container["Isolation"] = JSON(isolation) }
        var labels = arguments.list("container-label")
        for option in ["allocation", "pod", "tenant"] {
            if let value = arguments[option] { labels.append("skala.\(option)=\(value)") }
        }
        if !labels.isEmpty { container["Labels"] = KeyValue.object(labels) }
        let files = try arguments.list("secret").map(secrets)
        if !files.isEmpty { container["Secrets"] = JSON(files) }
        var task: JSON = ["ContainerSpec": container]
        for (option, key) in [("limit", "Limits"), ("reserve", "Reservations")] {
            if let memory = try arguments.bytes(option + "-memory") {
                task["Resources"][key]["MemoryBytes"] = JSON(memory)
            }
            if let text = arguments[option + "-cpu"] {
                guard let cpus = Double(text), cpus > 0, cpus < 1e6 else {
                    throw arguments.invalid(option + "-cpu", text, "expected a number such as 0.5")
                }
                task["Resources"][key]["NanoCPUs"] = JSON(Int64(cpus * 1e9))
            }
        }
        let constraints = arguments.list("constraint")
        if !constraints.isEmpty { task["Placement"] = ["Constraints": JSON(constraints)] }
        let networks = arguments.list("network")
        if !networks.isEmpty { task["Networks"] = JSON(networks.map { ["Target": JSON($0)] }) }
        var spec: JSON = ["Name": JSON(name), "Labels": KeyValue.object(arguments.list("label")), "TaskTemplate": task]
        let isGlobal = arguments.flag("global")
        if isGlobal, arguments.has("replicas") {
            throw SkalaError(.invalid, "--global and --replicas exclude each other")
        }
        spec["Mode"] =
            isGlobal ? ["Global": [:]] : ["Replicated": ["Replicas": JSON(try arguments.int("replicas") ?? 1)]]
        var ports: [JSON] = []
        for (option, mode) in [("publish", "ingress"), ("publish-host", "host")] {
            for text in arguments.list(option) {
                for port in try PortSpec.parse(text) {
                    ports.append([
                        "Protocol": JSON(port.protocol), "TargetPort": JSON(port.containerPort),
                        "PublishedPort": JSON(Int64(port.hostPort) ?? 0), "PublishMode": JSON(mode),
                    ])
                }
            }
        }
        if !ports.isEmpty { spec["EndpointSpec"] = ["Ports": JSON(ports)] }
        return spec
    }
}
