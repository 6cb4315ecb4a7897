import Base
import Kernel
import Synchronization

/// Measures all containers side by side, within a time: one that does not answer (a VM that hangs) keeps nobody waiting,
/// and is asked again only when it has answered.
final class UsageReader: Sendable {
    private struct State {
        /// Asked, and not answered yet; also of earlier readings.
        var pending: Set<String> = []
    }

    /// Of one reading.
    private struct Reading {
        var statistics: [String: JSON] = [:]
        var left: Int
        var waiter: CheckedContinuation<Void, Never>?
    }

    /// Measured at most, so that neither a reading nor its answer grows without bound.
    static let maximumContainers = 5000

    private let state = Mutex(State())
    /// The host's warden answers one after the other; of VMs each answers for itself, and some may not.
    private let places = AsyncSemaphore(limit: 16)
    private let machinePlaces = AsyncSemaphore(limit: 256)

    /// - Parameter nanoseconds: how long to wait for the last one.
    /// - Returns: by id; what ended meanwhile is not in it.
    func read(_ containers: [(container: Container, isolation: Isolation)], within nanoseconds: UInt64) async
        -> [String: JSON]
    {
        let asked = state.withLock { state in
            containers.prefix(UsageReader.maximumContainers).filter { state.pending.insert($0.container.id).inserted }
        }
        guard !asked.isEmpty else { return [:] }
        let reading = SharedReading(Reading(left: asked.count))
        let timer = Task {
            try? await Task.sleep(nanoseconds: nanoseconds)  // cancelled: all have answered
            reading.finish()
        }
        for (container, isolation) in asked {
            let places = isolation == .container ? places : machinePlaces
            Task {
                let document = await places.withPlace { try? await container.stats(previous: nil) }  // it has ended
                state.withLock { _ = $0.pending.remove(container.id) }
                reading.add(container.id, document)
            }
        }
        await reading.wait()
        timer.cancel()
        return reading.statistics
    }

    private final class SharedReading: Sendable {
        private let reading: Mutex<Reading>

        init(_ reading: Reading) { self.reading = Mutex(reading) }

        var statistics: [String: JSON] { reading.withLock { $0.statistics } }

        func add(_ id: String, _ document: JSON?) {
            let waiter = reading.withLock { reading -> CheckedContinuation<Void, Never>? in
                reading.statistics[id] = document
                reading.left -= 1
                guard reading.left <= 0 else { return nil }
                return reading.waiter.take()
            }
            waiter?.resume()
        }

        func finish() {
            reading.withLock { reading in
                reading.left = 0
                return reading.waiter.take()
            }?.resume()
        }

        func wait() async {
            await withCheckedContinuation { continuation in
                let isDone = reading.withLock { reading in
                    if reading.left > 0 { reading.waiter = continuation }
                    return reading.left <= 0
                }
                if isDone { continuation.resume() }
            }
        }
    }
}

extension Engine {
    /// What all containers use; those that run are measured.
    ///
    /// - Parameter nanoseconds: what has not been told by then is left out.
    public func usage(within nanoseconds: UInt64 = 2_000_000_000) async -> EngineUsage {
        let all = await containers.all()
        var found: [(record: ContainerRecord, health: String)] = []
        var running: [(container: Container, isolation: Isolation)] = []
        for container in all {
            let record = await container.snapshot
            found.append((record, await container.healthStatus))
            if record.state.isAlive { running.append((container, record.isolation)) }
        }
        let statistics = await usageReader.read(running, within: nanoseconds)
        let list = found.map {
            ContainerUsage(record: $0.record, health: $0.health, statistics: statistics[$0.record.id])
        }
        return EngineUsage(
            containers: list.sorted { $0.record.name < $1.record.name },
            unmeasured: running.count - statistics.count, spareMachines: context.machines.spares.count)
    }
}
