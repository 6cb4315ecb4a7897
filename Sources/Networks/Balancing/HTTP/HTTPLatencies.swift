/// How long requests took that have ended of late; a sample of them where there are many.
struct HTTPLatencies: Sendable {
    /// Nanoseconds: what is older says nothing about now.
    static let longest: Int64 = 5_000_000_000
    /// Nanoseconds that are looked at when enough requests have ended in them, so that a change is seen before the
    /// autoscaler's next step.
    static let usual: Int64 = 1_000_000_000
    static let enough = 20
    private static let capacity = 2048

    private var ended: [(at: Int64, milliseconds: UInt32)] = []
    /// The oldest one, once there are as many as are kept.
    private var next = 0

    mutating func add(_ milliseconds: UInt32, at now: Int64) {
        if ended.count < HTTPLatencies.capacity { return ended.append((now, milliseconds)) }
        ended[next] = (now, milliseconds)
        next = (next + 1) % HTTPLatencies.capacity
    }

    /// Of the last second, or of as long as it takes to have 20, but no longer than 5 s.
    ///
    /// - Returns: milliseconds by nearest rank; nil when no request has ended.
    func quantiles(at now: Int64) -> (p50: Int, p95: Int, p99: Int)? {
        let fresh = ended.filter { now - $0.at < HTTPLatencies.longest }.sorted { $0.at > $1.at }
        let recent = fresh.prefix { now - $0.at < HTTPLatencies.usual }.count
        let sorted = fresh.prefix(max(recent, HTTPLatencies.enough)).map { Int($0.milliseconds) }.sorted()
        guard !sorted.isEmpty else { return nil }
        func rank(_ percent: Int) -> Int { sorted[max(0, (sorted.count * percent + 99) / 100 - 1)] }
        return (rank(50), rank(95), rank(99))
    }
}
