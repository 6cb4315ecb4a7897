import Base
import Engine
import Kernel
import Store

/// What the parts of a cluster share.
final class ClusterContext: Sendable {
    let engine: Engine
    let counter = VersionCounter()
    /// Tasks that are being made at a time: more would only wait for the same cores and disk.
    let makers = AsyncSemaphore(limit: 8)

    let files: TaskFiles

    init(engine: Engine) {
        self.engine = engine
        files = TaskFiles(engine: engine)
    }

    var store: Store { engine.store }
    var log: Log { engine.log }

    func publish(_ type: String, _ action: String, _ id: String, _ attributes: [String: String]) {
        engine.events.publish(type, action, id, attributes)
    }
}
