import Base
public import Engine
import Kernel
public import Services

/// The Docker Engine API over an engine: routes, and the server they are reached by.
public final class APIServer: Sendable {
    private let server: HTTPServer
    /// Has the metrics only, for whoever reaches it.
    private let metricsServer: HTTPServer

    /// Every route of the API.
    static func router(engine: Engine, cluster: Cluster, metrics: MetricsRoutes) -> Router {
        var router = Router()
        metrics.register(&router)
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
        ProfileRoutes(cluster: cluster).register(&router)
        TaskRoutes(engine: engine, cluster: cluster).register(&router)
        SwarmFileRoutes(cluster: cluster).register(&router)
        return router
    }

    public init(engine: Engine, cluster: Cluster) {
        let log = engine.log
        let requests = RequestMetrics()
        let metrics = MetricsRoutes(engine: engine, cluster: cluster, requests: requests)
        let version = engine.configuration.version
        let report: @Sendable (SkalaError, String) -> Void = { error, request in
            log.error("a request has failed", ["request": request, "error": "\(error)"])
        }
        let router = APIServer.router(engine: engine, cluster: cluster, metrics: metrics)
        server = HTTPServer(service: Service(router: router, version: version, requests: requests, report: report))
        var metricsRouter = Router()
        metrics.register(&metricsRouter)
        metricsServer = HTTPServer(
            service: Service(
                router: metricsRouter, version: version, limits: .forMetrics, requests: requests, report: report))
    }

    /// Takes an address; who connects waits until `serve`.
    ///
    /// - Throws: `SkalaError`: `.conflict` when another daemon has the address, `.invalid` for TCP without TLS.
    public func listen(on address: ListenAddress) async throws { try await server.listen(on: address) }

    /// Takes an address for `GET /metrics` alone, without TLS.
    public func listen(forMetricsOn host: String, port: Int) async throws {
        try await metricsServer.listenOpenly(host: host, port: port)
    }

    /// Answers, from now on.
    public func serve() async throws {
        try await server.serve()
        try await metricsServer.serve()
    }

    /// Stops listening; requests under way have until the deadline.
    public func stop() async {
        await metricsServer.stop()
        await server.stop()
    }
}
