import Base

/// Swarm mode, services, configs, secrets and plugins: answered with the API's own errors until they exist.
struct SwarmRoutes {
    private static let notAManager = SkalaError(
        .unavailable,
        "This node is not a swarm manager. Use \"docker swarm init\" or \"docker swarm join\" to connect this node to "
            + "swarm and try again.")

    private static let noPlugins = SkalaError(
        .unsupported, "plugins are not supported: volumes, networks and logs have built-in drivers only")

    func register(_ router: inout Router) {
        for collection in ["services", "secrets", "configs"] {
            router.refuse("POST", "/\(collection)/create", SwarmRoutes.notAManager)
        }
        for collection in ["services", "nodes", "secrets", "configs"] {
            router.refuse("DELETE", "/\(collection)/{id}", SwarmRoutes.notAManager)
            router.refuse("POST", "/\(collection)/{id}/update", SwarmRoutes.notAManager)
        }
        for collection in ["services", "tasks", "nodes", "secrets", "configs"] {
            router.refuse("GET", "/\(collection)", SwarmRoutes.notAManager)
            router.refuse("GET", "/\(collection)/{id}", SwarmRoutes.notAManager)
        }
        for collection in ["services", "tasks"] {
            router.refuse("GET", "/\(collection)/{id}/logs", SwarmRoutes.notAManager)
        }
        router.refuse("GET", "/swarm", SwarmRoutes.notAManager)
        router.refuse("GET", "/swarm/unlockkey", SwarmRoutes.notAManager)
        for action in ["init", "join", "leave", "update", "unlock"] {
            router.refuse(
                "POST", "/swarm/\(action)",
                SkalaError(.unavailable, "swarm mode is not available: this engine manages one node without services"))
        }
        router.get("/plugins") { _ in .json([]) }
        router.get("/plugins/{name:*}/json") { request in
            throw SkalaError(.notFound, "plugin \"\(request.parameter("name"))\" not found")
        }
        router.refuse("GET", "/plugins/privileges", SwarmRoutes.noPlugins)
        router.refuse("DELETE", "/plugins/{name:*}", SwarmRoutes.noPlugins)
        for action in ["pull", "create"] { router.refuse("POST", "/plugins/\(action)", SwarmRoutes.noPlugins) }
        for action in ["enable", "disable", "upgrade", "push", "set"] {
            router.refuse("POST", "/plugins/{name:*}/\(action)", SwarmRoutes.noPlugins)
        }
        router.refuse(
            "POST", "/session", SkalaError(.unsupported, "BuildKit sessions are not supported: set DOCKER_BUILDKIT=0"))
    }
}
