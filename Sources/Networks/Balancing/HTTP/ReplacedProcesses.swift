import Glibc
import Kernel

/// HAProxy's processes that have a successor, and finish what they have under way.
struct ReplacedProcesses {
    /// So many at most: each has memory of its own, and connections may last for an hour.
    private static let most = 8
    /// What one has longer, in nanoseconds, is no request any more that a member should wait for: a download, a WebSocket.
    private static let longestRequest: Int64 = 30_000_000_000

    /// The oldest first.
    private var processes: [(id: pid_t, since: Int64)] = []

    /// The oldest, when there are too many.
    var surplus: pid_t? { processes.count > ReplacedProcesses.most ? processes[0].id : nil }

    /// Whether one of them may have a request that is answered soon.
    var mayHaveRequests: Bool {
        let now = SystemClock.monotonicNanoseconds()
        return processes.contains { now - $0.since <= ReplacedProcesses.longestRequest }
    }

    mutating func add(_ process: pid_t) { processes.append((process, SystemClock.monotonicNanoseconds())) }

    /// - Returns: whether it was one of them.
    mutating func remove(_ process: pid_t) -> Bool {
        guard let place = processes.firstIndex(where: { $0.id == process }) else { return false }
        processes.remove(at: place)
        return true
    }
}
