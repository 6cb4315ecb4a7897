import Kernel
import Synchronization

/// What workers hand over while they work, and the word to stop.
final class LoadMonitor: Sendable {
    private struct State {
        var total = LoadStatistics()
        /// Of intervals not all workers have handed over yet.
        var open: [Int: (statistics: LoadStatistics, workers: Int)] = [:]
        var closed: [LoadInterval] = []
        var ended = 0
        /// When the last worker came to its end, on the monotonic clock.
        var endedAt: Int64?
        var failure: (any Error)?
    }

    private let state = Mutex(State())
    private let stopped = Atomic(false)
    private let workers: Int
    private let interval: Int64

    init(workers: Int, interval: Int64) {
        self.workers = workers
        self.interval = interval
    }

    func stop() { stopped.store(true, ordering: .relaxed) }
    var isStopped: Bool { stopped.load(ordering: .relaxed) }

    /// A worker's counts of an interval, which all workers hand over in order.
    func take(_ statistics: LoadStatistics, interval index: Int) {
        state.withLock { state in
            state.total.merge(statistics)
            // The last of them hand over more than once.
            var entry = state.open[index] ?? (LoadStatistics(), 0)
            entry.statistics.merge(statistics)
            entry.workers += 1
            state.open[index] = entry
            if entry.workers >= workers { close(upTo: index, &state) }
        }
    }

    /// A worker has come to its end.
    func end(_ failure: (any Error)?) {
        state.withLock { state in
            state.ended += 1
            state.failure = state.failure ?? failure
            guard state.ended == workers else { return }
            state.endedAt = SystemClock.monotonicNanoseconds()
            close(upTo: .max, &state)
        }
    }

    private func close(upTo last: Int, _ state: inout State) {
        for index in state.open.keys.filter({ $0 <= last }).sorted() {
            guard let entry = state.open.removeValue(forKey: index) else { continue }
            state.closed.append(LoadInterval(start: Int64(index) * interval, entry.statistics))
        }
    }

    var total: LoadStatistics { state.withLock { $0.total } }
    var intervals: [LoadInterval] { state.withLock { $0.closed } }
    var endedAt: Int64? { state.withLock { $0.endedAt } }
    var failure: (any Error)? { state.withLock { $0.failure } }
}
