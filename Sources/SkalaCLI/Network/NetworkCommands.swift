import Base
import Client
import Kernel

/// `skala network`
enum NetworkCommands {
    static let group = Command(
        "network", "Networks of containers", "COMMAND",
        work: .group([list, create, connect, disconnect, inspect, remove, prune]))

    private static func path(_ name: String, _ rest: String = "") -> String {
        "/networks/\(PercentEncoding.encode(name))\(rest)"
    }

    private static let list = Command(
        "ls", "List networks", "[OPTIONS]", 0...0, options: [.quiet, .noTruncation, .filter, .format],
        examples: ["skala network ls --filter driver=bridge"]
    ) { call in
        let arguments = call.arguments
        let networks =
            try call.client.json(.get("/networks", query: try API.filters(arguments.list("filter")))).array ?? []
        let rows = networks.map { network -> JSON in
            let id = network["Id"].string ?? ""
            let labels = network["Labels"].stringPairs ?? []
            return [
                "ID": JSON(arguments.flag("no-trunc") ? id : Identifier.short(id)), "Name": network["Name"],
                "Driver": network["Driver"], "Scope": network["Scope"], "Internal": network["Internal"],
                "IPv6": network["EnableIPv6"], "CreatedAt": network["Created"],
                "Subnets": JSON((network["IPAM"]["Config"].array ?? []).compactMap { $0["Subnet"].string }),
                "Labels": JSON(labels.map { "\($0.key)=\($0.value)" }.joined(separator: ",")),
            ]
        }.sorted { ($0["Name"].plain, $0["ID"].plain) < ($1["Name"].plain, $1["ID"].plain) }
        if arguments.flag("quiet"), !arguments.has("format") {
            try call.output.write(rows.map { $0["ID"].plain + "\n" }.joined())
            return 0
        }
        try call.output.list(
            rows, [("NETWORK ID", "ID"), ("NAME", "Name"), ("DRIVER", "Driver"), ("SCOPE", "Scope")],
            format: arguments["format"])
        return 0
    }

    private static let create = Command(
        "create", "Make a network", "[OPTIONS] NETWORK", 1...1,
        options: [
            .value("driver", short: "d", "NAME", "Driver (default bridge)"),
            .list("subnet", "CIDR", "Addresses of the network"),
            .list("gateway", "ADDRESS", "Address of the gateway in the subnet"),
            .list("ip-range", "CIDR", "Part of the subnet containers get their addresses from"),
            .list("aux-address", "NAME=ADDRESS", "Address that is not given to a container"),
            .flag("internal", "Nothing beyond the network can be reached"),
            .flag("ipv6", "IPv6 too"), .flag("attachable", "Taken for compatibility"),
            .list("opt", short: "o", "KEY=VALUE", "Option of the driver"),
            .list("label", "KEY=VALUE", "Label"),
        ],
        examples: ["skala network create web", "skala network create --internal --subnet 10.9.0.0/24 backend"]
    ) { call in
        let arguments = call.arguments
        var body: JSON = [
            "Name": JSON(arguments.positional[0]), "Driver": JSON(arguments["driver"] ?? "bridge"),
            "Internal": JSON(arguments.flag("internal")), "Attachable": JSON(arguments.flag("attachable")),
            "EnableIPv6": JSON(arguments.flag("ipv6")), "Options": KeyValue.object(arguments.list("opt")),
            "Labels": KeyValue.object(arguments.list("label")),
        ]
        let pools = try NetworkCommands.pools(arguments)
        if !pools.isEmpty { body["IPAM"] = ["Driver": "default", "Config": JSON(pools)] }
        let answer = try call.client.json(.post("/networks/create", body))
        if let warning = answer["Warning"].string, !warning.isEmpty {
            StandardStreams.error("skala: warning: \(warning)\n")
        }
        try call.output.line(answer["Id"].plain)
        return 0
    }

    /// The n-th gateway and range belong to the n-th subnet; further addresses to the first.
    private static func pools(_ arguments: Arguments) throws(SkalaError) -> [JSON] {
        let gateways = arguments.list("gateway")
        let ranges = arguments.list("ip-range")
        var pools: [JSON] = []
        for (index, subnet) in arguments.list("subnet").enumerated() {
            var pool: JSON = ["Subnet": JSON(subnet)]
            if gateways.indices.contains(index) { pool["Gateway"] = JSON(gateways[index]) }
            if ranges.indices.contains(index) { pool["IPRange"] = JSON(ranges[index]) }
            if index == 0, arguments.has("aux-address") {
                pool["AuxiliaryAddresses"] = KeyValue.object(arguments.list("aux-address"))
            }
            pools.append(pool)
        }
        if pools.isEmpty, !gateways.isEmpty || !ranges.isEmpty || arguments.has("aux-address") {
            throw SkalaError(.invalid, "addresses need the subnet they are in: add --subnet")
        }
        return pools
    }

    private static let connect = Command(
        "connect", "Connect a container to a network", "[OPTIONS] NETWORK CONTAINER", 2...2, completes: .networks,
        options: [
            .list("alias", "NAME", "Another name on the network"), .value("ip", "ADDRESS", "IPv4 address"),
            .value("ip6", "ADDRESS", "IPv6 address"), .value("mac-address", "ADDRESS", "MAC address"),
            .list("driver-opt", "KEY=VALUE", "Option of the driver"),
        ],
        examples: ["skala network connect --alias db backend postgres"]
    ) { call in
        let arguments = call.arguments
        var endpoint: JSON = [:]
        if arguments.has("alias") { endpoint["Aliases"] = JSON(arguments.list("alias")) }
        if let address = arguments["ip"] { endpoint["IPAMConfig"]["IPv4Address"] = JSON(address) }
        if let address = arguments["ip6"] { endpoint["IPAMConfig"]["IPv6Address"] = JSON(address) }
        if let address = arguments["mac-address"] { endpoint["MacAddress"] = JSON(address) }
        if arguments.has("driver-opt") { endpoint["DriverOpts"] = KeyValue.object(arguments.list("driver-opt")) }
        let body: JSON = ["Container": JSON(arguments.positional[1]), "EndpointConfig": endpoint]
        try call.client.json(.post(path(arguments.positional[0], "/connect"), body))
        return 0
    }

    private static let disconnect = Command(
        "disconnect", "Disconnect a container from a network", "[OPTIONS] NETWORK CONTAINER", 2...2,
        completes: .networks, options: [.flag("force", short: "f", "Even if the container does not answer")],
        examples: ["skala network disconnect backend postgres"]
    ) { call in
        let body: JSON = [
            "Container": JSON(call.arguments.positional[1]), "Force": JSON(call.arguments.flag("force")),
        ]
        try call.client.json(.post(path(call.arguments.positional[0], "/disconnect"), body))
        return 0
    }

    private static let inspect = Command(
        "inspect", "Show all that is known of networks", "[OPTIONS] NETWORK [NETWORK...]", Command.atLeast(1),
        completes: .networks, options: [.format],
        examples: ["skala network inspect --format '{{json .Containers}}' web"]
    ) { call in try ObjectInspect.inspect(call) { try call.client.json(.get(path($0))) } }

    private static let remove = Command(
        "rm", "Remove networks", "NETWORK [NETWORK...]", Command.atLeast(1), completes: .networks,
        options: [.flag("force", short: "f", "What is gone already is no error")],
        examples: ["skala network rm backend"]
    ) { call in
        try Each.run(call.arguments.positional, call.output) { name in
            do { try call.client.json(.delete(path(name))) } catch let error as SkalaError
                where error.code == .notFound && call.arguments.flag("force")
            { return nil }
            return name
        }
    }

    private static let prune = Command(
        "prune", "Remove networks that no container uses", "[OPTIONS]", 0...0, options: [.force, .pruneFilter],
        examples: ["skala network prune -f"]
    ) { call in
        guard try Confirmation.ask("This removes all networks that no container uses.", call) else { return 0 }
        try Prune.networks(call, filters: call.arguments.list("filter"))
        return 0
    }
}
