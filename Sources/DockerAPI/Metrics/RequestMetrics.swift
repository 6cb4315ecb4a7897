import Synchronization

/// Counts the requests of the API, by route: as many series as there are routes and answers to them, whatever is asked for.
final class RequestMetrics: Sendable {
    /// Upper bounds in seconds; above the last one is the rest.
    static let bounds: [Double] = [0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10]

    struct Route: Hashable, Comparable {
        let method: String
        /// As it is registered: `/containers/{id}/json`; empty for requests that no route fits.
        let pattern: String

        static func < (a: Route, b: Route) -> Bool { (a.pattern, a.method) < (b.pattern, b.method) }
    }

    struct Counts {
        var byStatus: [Int: Int64] = [:]
        /// Of each bound, and of what is above.
        var buckets = [Int64](repeating: 0, count: bounds.count + 1)
        var seconds: Double = 0
    }

    private let counts = Mutex<[Route: Counts]>([:])
    private let connections = Atomic<Int>(0)

    var openConnections: Int { connections.load(ordering: .relaxed) }

    func connectionOpened() { connections.add(1, ordering: .relaxed) }

    func connectionClosed() { connections.subtract(1, ordering: .relaxed) }

    var snapshot: [(route: Route, counts: Counts)] {
        counts.withLock { $0.sorted { $0.key < $1.key }.map { ($0.key, $0.value) } }
    }

    func count(_ route: Route, status: Int, nanoseconds: Int64) {
        let seconds = Double(nanoseconds) / 1e9
        let bucket = RequestMetrics.bounds.firstIndex { seconds <= $0 } ?? RequestMetrics.bounds.count
        counts.withLock { counts in
            counts[route, default: Counts()].byStatus[status, default: 0] += 1
            counts[route, default: Counts()].buckets[bucket] += 1
            counts[route, default: Counts()].seconds += seconds
        }
    }
}
