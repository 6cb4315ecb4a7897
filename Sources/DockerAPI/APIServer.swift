import Base
public import Engine
import Kernel
public import Services

/// The Docker Engine API over an engine: routes, and the server they are reached by.
public final class APIServer: Sendable {
    private let server: HTTPServer

    /// Every route of the API.
    static func router(engine: Engine, cluster: Cluster) -> Router {
        var router = Router()
        SystemRoutes(engine: engine, cluster: cluster).register(&router)
        ContainerRoutes(engine: engine).register(&router)
        ContainerStreamRoutes(engine: engine).register(&router)
        ContainerFileRoutes(engine: engine).register(&router)
        ExecRoutes(engine: engine).register(&router)
        ImageRoutes(engine: engine).register(&router)
        BuildRoutes(engine: engine).register(&router)
        NetworkRoutes(engine: engine, cluster: cluster).register(&router)
        VolumeRoutes(engine: engine).register(&router)
        KernelRoutes(engine: engine).register(&router)
        MachineRoutes(engine: engine).register(&router)
        SnapshotRoutes(engine: engine).register(&router)
        PodRoutes(engine: engine).register(&router)
        PluginRoutes().register(&router)
        SwarmRoutes(cluster: cluster).register(&router)
        ServiceRoutes(engine: engine, cluster: cluster).register(&router)
        TaskRoutes(engine: engine, cluster: cluster).register(&router)
        SwarmFileRoutes(cluster: cluster).register(&router)
        return router
    }

    public init(engine: Engine, cluster: Cluster) {
        let log = engine.log
        server = HTTPServer(
            service: Service(
                router: APIServer.router(engine: engine, cluster: cluster), version: engine.configuration.version
            ) {
                error, request in
                log.error("\(request): \(error)")
            })
    }

    /// Takes an address; who connects waits until `serve`.
    ///
    /// - Throws: `SkalaError`: `.conflict` when another daemon has the address, `.invalid` for TCP without TLS.
    public func listen(on address: ListenAddress) async throws { try await server.listen(on: address) }

    /// Answers, from now on.
    public func serve() async throws { try await server.serve() }

    /// Stops listening; requests under way have until the deadline.
    public func stop() async { await server.stop() }
}
