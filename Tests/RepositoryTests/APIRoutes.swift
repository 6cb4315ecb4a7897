@testable import DockerAPI
@testable import Engine
import Kernel
import Services
import TestSupport

/// The routes of an engine that runs nothing.
func makeRouter(in folder: TemporaryFolder) async throws -> Router {
    var configuration = EngineConfiguration()
    configuration.dataRoot = folder.path + "/data"
    configuration.runRoot = folder.path + "/run"
    try FileContents.makeDirectories(configuration.dataRoot)
    let context = try await EngineContext(configuration: configuration, log: Log(level: .error))
    let engine = Engine(context: context, id: "")
    let cluster = Cluster(engine: engine)
    let metrics = MetricsRoutes(engine: engine, cluster: cluster, requests: RequestMetrics())
    let router = APIServer.router(engine: engine, cluster: cluster, metrics: metrics)
    await engine.close()
    return router
}
