import Base
import Engine
import Kernel
import Networks
import Store

/// What the parts of a cluster share.
final class ClusterContext: Sendable {
    let engine: Engine
    let counter = VersionCounter()
    /// Tasks that are being made at a time: more would only wait for the same cores and disk.
    let makers = AsyncSemaphore(limit: 8)

    let files: TaskFiles
    let http: HTTPBalancer
    let httpMeter: HTTPMeter
    /// Ids of services that a request waits for.
    let holds: AsyncStream<String>

    init(engine: Engine) {
        self.engine = engine
        files = TaskFiles(engine: engine)
        let (holds, continuation) = AsyncStream.makeStream(of: String.self, bufferingPolicy: .bufferingNewest(64))
        self.holds = holds
        let configuration = engine.configuration
        // Without control groups there is nobody to run tasks either.
        let groups = (try? CgroupLayout.detect()).map {
            HTTPBalancer.groups(configuration.cgroupParent.drop { $0 == "/" } + "-http", $0)
        }
        http = HTTPBalancer(
            folder: configuration.runRoot + "/http", groups: groups ?? [], program: configuration.balancerProgram,
            log: engine.log
        ) { continuation.yield($0) }
        httpMeter = HTTPMeter(http)
    }

    var store: Store { engine.store }
    var log: Log { engine.log }

    func publish(_ type: String, _ action: String, _ id: String, _ attributes: [String: String]) {
        engine.events.publish(type, action, id, attributes)
    }
}
