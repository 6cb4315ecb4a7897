import Base
import Engine
import Services

/// Swarm mode: the swarm, and its one node.
struct SwarmRoutes {
    let cluster: Cluster

    func register(_ router: inout Router) {
        router.post("/swarm/init") { request in
            .json(JSON(try await cluster.initialize(try await request.body.json())))
        }
        router.get("/swarm") { _ in .json(try await cluster.document()) }
        router.post("/swarm/leave") { request in
            try await cluster.leave(force: request.query.flag("force"))
            return Response(status: 200)
        }
        router.post("/swarm/update") { request in
            let index = try request.query.int("version") ?? 0
            try await cluster.update(swarm: try await request.body.json(), index: index)
            return Response(status: 200)
        }
        router.refuse(
            "POST", "/swarm/join",
            SkalaError(.unsupported, "joining a swarm is not supported: this engine manages one node, itself"))
        router.refuse(
            "POST", "/swarm/unlock", SkalaError(.unsupported, "the swarm is never locked: autolock is not supported"))
        router.refuse(
            "GET", "/swarm/unlockkey",
            SkalaError(.unsupported, "the swarm has no unlock key: autolock is not supported"))
        router.get("/nodes") { try await nodes($0) }
        router.get("/nodes/{id}") { request in .json(try await cluster.node(request.parameter("id")).document) }
        router.post("/nodes/{id}/update") { request in
            let index = try request.query.int("version") ?? 0
            try await cluster.update(
                node: request.parameter("id"), index: index, to: try await request.body.json())
            return Response(status: 200)
        }
        router.delete("/nodes/{id}") { request in
            let node = try await cluster.node(request.parameter("id"))
            throw SkalaError(
                .invalid, "node \(node.id) is a cluster manager and is a member of the swarm: leave the swarm instead")
        }
    }

    private func nodes(_ request: Request) async throws -> Response {
        let filters = try Filters(
            request, allowed: ["id", "label", "engine.label", "membership", "name", "node.label", "role"])
        let nodes = try await cluster.nodes().filter { node in
            filters.prefix("id", node.id) && filters.any("name") { node.hostname.hasPrefix($0) }
                && filters.exact("role", "manager") && filters.exact("membership", "accepted")
                && filters.labels(node.labels, filter: "node.label") && filters.labels(node.labels)
                && filters.labels([:], filter: "engine.label")
        }
        return .json(JSON(nodes.map(\.document)))
    }
}
