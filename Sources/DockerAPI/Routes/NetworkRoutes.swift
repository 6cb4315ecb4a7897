import Base
import Engine
import Networks
import Services

/// Networks.
struct NetworkRoutes {
    let engine: Engine
    let cluster: Cluster

    func register(_ router: inout Router) {
        router.get("/networks") { try await list($0) }
        router.post("/networks/create") { try await create($0) }
        router.post("/networks/prune") { try await prune($0) }
        router.get("/networks/{id}") { request in
            let network = try await engine.networks.find(request.parameter("id"))
            return .json(await document(network, details: true))
        }
        router.delete("/networks/{id}") { request in
            let network = try await engine.networks.find(request.parameter("id"))
            try await cluster.release(network)
            try await engine.removeNetwork(network.id)
            return .noContent
        }
        router.post("/networks/{id}/connect") { request in
            let body = try await request.body.json()
            let container = try await engine.containers.find(body["Container"].string ?? "")
            try await container.connect(network: request.parameter("id"), settings: body["EndpointConfig"])
            return Response(status: 200)
        }
        router.post("/networks/{id}/disconnect") { request in
            let body = try await request.body.json()
            let container = try await engine.containers.find(body["Container"].string ?? "")
            try await container.disconnect(network: request.parameter("id"), force: body["Force"].bool ?? false)
            return Response(status: 200)
        }
    }

    private func list(_ request: Request) async throws -> Response {
        let filters = try Filters(request, allowed: ["dangling", "driver", "id", "label", "name", "scope", "type"])
        let isDangling = try filters.flag("dangling")
        var documents: [JSON] = []
        for network in await engine.networks.list() {
            let isBuiltIn = NetworkRoutes.builtIn.contains(network.name)
            guard filters.exact("driver", network.driver), filters.prefix("id", network.id),
                filters.labels(network.labels), filters.name("name", anyOf: [network.name]),
                filters.exact("scope", NetworkRoutes.scope(network)),
                filters.exact("type", isBuiltIn ? "builtin" : "custom")
            else { continue }
            if let isDangling {
                let isUnused = await engine.networks.endpoints(on: network.id).isEmpty && !isBuiltIn
                guard isUnused == isDangling else { continue }
            }
            documents.append(await document(network, details: false))
        }
        return .json(JSON(documents))
    }

    private static func scope(_ network: Network) -> String { network.driver == "overlay" ? "swarm" : "local" }

    static let builtIn: Set = ["bridge", "host", "none"]

    /// The API's `Network`.
    private func document(_ network: Network, details: Bool) async -> JSON {
        let configuration = network.subnets.map { subnet -> JSON in
            var json: JSON = ["Subnet": JSON(subnet.subnet)]
            if let range = subnet.ipRange { json["IPRange"] = JSON(range) }
            json["Gateway"] = JSON(subnet.gateway)
            if !subnet.auxiliary.isEmpty { json["AuxiliaryAddresses"] = JSON(subnet.auxiliary) }
            return json
        }
        var containers: JSON = [:]
        if details {
            for (container, endpoint) in await engine.networks.endpoints(on: network.id) {
                let name = try? await engine.containers.find(container).snapshot.name
                containers[container] = [
                    "Name": JSON(name ?? ""), "EndpointID": JSON(endpoint.endpointID),
                    "MacAddress": JSON(endpoint.macAddress),
                    "IPv4Address": JSON("\(endpoint.ipv4)/\(endpoint.prefixLength)"),
                    "IPv6Address": JSON(
                        endpoint.ipv6.isEmpty ? "" : "\(endpoint.ipv6)/\(endpoint.ipv6PrefixLength)"),
                ]
            }
        }
        return [
            "Name": JSON(network.name), "Id": JSON(network.id), "Created": JSON(network.created.text),
            "Scope": JSON(NetworkRoutes.scope(network)),
            "Driver": JSON(network.driver), "EnableIPv4": JSON(network.enableIPv4),
            "EnableIPv6": JSON(network.enableIPv6),
            "IPAM": ["Driver": "default", "Options": .null, "Config": JSON(configuration)],
            "Internal": JSON(network.isInternal), "Attachable": JSON(network.isAttachable), "Ingress": false,
            "ConfigFrom": ["Network": ""], "ConfigOnly": false, "Containers": containers,
            "Options": JSON(network.options), "Labels": JSON(network.labels),
        ]
    }

    private func create(_ request: Request) async throws -> Response {
        let body = try await request.body.json()
        if body["Driver"].string == "overlay", await !cluster.isActive { throw Cluster.notAManager }
        let network = try await engine.createNetwork(body)
        return .json(["Id": JSON(network.id), "Warning": ""], status: 201)
    }

    private func prune(_ request: Request) async throws -> Response {
        let limit = try PruneFilter(try Filters(request, allowed: ["until", "label", "label!"]))
        await engine.networks.sweep()
        var deleted: [String] = []
        for network in await engine.networks.list() where !NetworkRoutes.builtIn.contains(network.name) {
            let used = await engine.networkIsUsed(network)
            guard limit.includes(network.created, network.labels), !used else { continue }
            try await engine.removeNetwork(network.id)
            deleted.append(network.name)
        }
        return .json(["NetworksDeleted": deleted.isEmpty ? .null : JSON(deleted)])
    }
}
