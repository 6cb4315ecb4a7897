import Load

/// How a service took it that its load doubled, from the load's series. Pure.
struct ScaleUpResponse {
    /// Of the series, in nanoseconds.
    static let interval: Int64 = 100_000_000
    /// So many intervals must be good, one after the other: a second.
    private static let window = 10

    /// Seconds from the doubling to the begin of the first second in which 95 % of the doubled load were answered; nil when there was
    /// none.
    let served: Double?
    /// The same, for a second in which it served and its median latency was within twice that of before: all who waited have been answered.
    let settled: Double?

    /// - Parameters:
    ///   - rate: requests a second before it doubled.
    ///   - doubledAt: nanoseconds after the load's begin.
    init(_ intervals: [LoadInterval], rate: Double, doubledAt: Int64) {
        let seconds = Double(ScaleUpResponse.interval) / 1e9
        let after = intervals.filter { $0.start >= doubledAt }
        // The first second may have the start of connections in it.
        let calm = intervals.filter { $0.start >= 1_000_000_000 && $0.start < doubledAt && $0.answered > 0 }
        let latencies = calm.map(\.p50).sorted()
        let usual = latencies.isEmpty ? nil : latencies[latencies.count / 2]
        let wanted = 0.95 * 2 * rate * seconds * Double(ScaleUpResponse.window)
        var served: Double?
        var settled: Double?
        for first in after.indices.dropLast(ScaleUpResponse.window - 1) {
            let window = after[first..<(first + ScaleUpResponse.window)]
            let time = Double(after[first].start - doubledAt) / 1e9
            if served == nil, window.reduce(0.0, { $0 + LoadSeries.succeeded($1) }) >= wanted { served = time }
            if served != nil, let usual, window.allSatisfy({ $0.answered > 0 && $0.p50 <= 2 * usual }) {
                settled = time
                break
            }
        }
        self.served = served
        self.settled = settled
    }
}
