import Base

/// Swarm mode, services, configs, secrets and plugins: answered with the API's own errors until they exist.
struct SwarmRoutes {
    private static let notAManager = SkalaError(
        .unavailable,
        "This node is not a swarm manager. Use \"docker swarm init\" or \"docker swarm join\" to connect this node to "
            + "swarm and try again.")

    func register(_ router: inout Router) {
        for collection in ["services", "tasks", "nodes", "configs", "secrets"] {
            router.get("/\(collection)") { _ in throw SwarmRoutes.notAManager }
            router.get("/\(collection)/{id}") { _ in throw SwarmRoutes.notAManager }
            router.delete("/\(collection)/{id}") { _ in throw SwarmRoutes.notAManager }
            router.post("/\(collection)/create") { _ in throw SwarmRoutes.notAManager }
            router.post("/\(collection)/{id}/update") { _ in throw SwarmRoutes.notAManager }
            router.get("/\(collection)/{id}/logs") { _ in throw SwarmRoutes.notAManager }
        }
        router.get("/swarm") { _ in throw SwarmRoutes.notAManager }
        router.get("/swarm/unlockkey") { _ in throw SwarmRoutes.notAManager }
        for action in ["init", "join", "leave", "update", "unlock"] {
            router.post("/swarm/\(action)") { _ in
                throw SkalaError(
                    .unavailable, "swarm mode is not available: this engine manages one node without services")
            }
        }
        router.get("/plugins") { _ in .json([]) }
        router.get("/plugins/{name:*}/json") { request in
            throw SkalaError(.notFound, "plugin \"\(request.parameter("name"))\" not found")
        }
        router.post("/session") { _ in
            throw SkalaError(.unsupported, "BuildKit sessions are not supported: set DOCKER_BUILDKIT=0")
        }
    }
}
