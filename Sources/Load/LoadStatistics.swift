/// What was counted in a time: of one worker or of several.
public struct LoadStatistics: Sendable {
    /// Whole answers, whatever their status.
    public internal(set) var answered: UInt64 = 0
    /// From when a request was due (open loop) or sent (closed loop) to the end of its answer.
    public internal(set) var latency = Histogram()
    /// By status, from 100 to 599.
    public private(set) var statuses: [Int: UInt64] = [:]
    private var failures = [UInt64](repeating: 0, count: LoadFailure.allCases.count)
    public internal(set) var bytesReceived: UInt64 = 0
    public internal(set) var connections: UInt64 = 0
    /// Requests sent again since the connection, used before, was closed meanwhile.
    public internal(set) var repeated: UInt64 = 0
    /// Requests under way at the end of the time.
    public internal(set) var underWay = 0

    public init() {}

    mutating func count(status: Int) { statuses[status, default: 0] += 1 }
    mutating func count(_ failure: LoadFailure, _ number: UInt64 = 1) { failures[failure.rawValue] += number }

    public subscript(failure: LoadFailure) -> UInt64 { failures[failure.rawValue] }
    public var failed: UInt64 { failures.reduce(0, +) }
    /// Requests that have come to an end: good answers and failures. A bad status is both an answer and a failure.
    public var requests: UInt64 { answered + failed - self[.status] }

    mutating func merge(_ other: LoadStatistics) {
        answered += other.answered
        latency.merge(other.latency)
        statuses.merge(other.statuses, uniquingKeysWith: +)
        for (index, count) in other.failures.enumerated() { failures[index] += count }
        bytesReceived += other.bytesReceived
        connections += other.connections
        repeated += other.repeated
        underWay += other.underWay
    }

    mutating func removeAll() {
        var histogram = Histogram()
        // Its memory is kept, for the next interval.
        swap(&histogram, &latency)
        histogram.removeAll()
        self = LoadStatistics()
        latency = histogram
    }
}

/// One interval of the series, short enough to be kept for each.
public struct LoadInterval: Sendable, Hashable {
    /// Nanoseconds after the start.
    public let start: Int64
    public internal(set) var answered: UInt64 = 0
    public internal(set) var failures: [LoadFailure: UInt64] = [:]
    public internal(set) var underWay = 0
    /// Nanoseconds.
    public internal(set) var mean = 0.0
    public internal(set) var p50: Int64 = 0
    public internal(set) var p95: Int64 = 0
    public internal(set) var p99: Int64 = 0
    public internal(set) var maximum: Int64 = 0

    public var failed: UInt64 { failures.values.reduce(0, +) }

    init(start: Int64, _ statistics: LoadStatistics) {
        self.start = start
        answered = statistics.answered
        for kind in LoadFailure.allCases where statistics[kind] > 0 { failures[kind] = statistics[kind] }
        underWay = statistics.underWay
        let latency = statistics.latency
        mean = latency.mean
        p50 = latency.percentile(50)
        p95 = latency.percentile(95)
        p99 = latency.percentile(99)
        maximum = latency.maximum
    }
}
