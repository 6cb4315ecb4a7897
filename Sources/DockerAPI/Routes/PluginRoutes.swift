import Base

/// Plugins, and what belongs to BuildKit: there are none.
struct PluginRoutes {
    private static let noPlugins = SkalaError(
        .unsupported, "plugins are not supported: volumes, networks and logs have built-in drivers only")

    func register(_ router: inout Router) {
        router.get("/plugins") { _ in .json([]) }
        router.get("/plugins/{name:*}/json") { request in
            throw SkalaError(.notFound, "plugin \"\(request.parameter("name"))\" not found")
        }
        router.refuse("GET", "/plugins/privileges", PluginRoutes.noPlugins)
        router.refuse("DELETE", "/plugins/{name:*}", PluginRoutes.noPlugins)
        for action in ["pull", "create"] { router.refuse("POST", "/plugins/\(action)", PluginRoutes.noPlugins) }
        for action in ["enable", "disable", "upgrade", "push", "set"] {
            router.refuse("POST", "/plugins/{name:*}/\(action)", PluginRoutes.noPlugins)
        }
        router.refuse(
            "POST", "/session", SkalaError(.unsupported, "BuildKit sessions are not supported: set DOCKER_BUILDKIT=0"))
    }
}
