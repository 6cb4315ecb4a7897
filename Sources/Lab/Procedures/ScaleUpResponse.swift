import Load

/// How a service took it that its load doubled, from the load's series. Pure.
struct ScaleUpResponse {
    /// Of the series, in nanoseconds.
    static let interval: Int64 = 100_000_000
    /// So many intervals must be good, one after the other: a second.
    private static let window = 10

    /// Seconds from the doubling until most requests waited for their answer, and so from when on the service answered as many as came; nil
    /// when it did not answer 95 % of them in the second after that.
    let served: Double?
    /// Seconds from the doubling to the begin of the first second after that in which the median latency was within twice of what it was
    /// before: who had to wait has been answered. Nil when there was none.
    let settled: Double?

    /// - Parameters:
    ///   - rate: requests a second before it doubled.
    ///   - doubledAt: nanoseconds after the load's begin.
    init(_ intervals: [LoadInterval], rate: Double, doubledAt: Int64) {
        let length = ScaleUpResponse.interval
        let after = intervals.filter { $0.start >= doubledAt }
        // The first second may have the start of connections in it.
        let calm = intervals.filter { $0.start >= 1_000_000_000 && $0.start < doubledAt && $0.answered > 0 }
        let latencies = calm.map(\.p50).sorted()
        guard !latencies.isEmpty, let most = after.map(\.underWay).max(),
            let peak = after.firstIndex(where: { $0.underWay == most })
        else {
            (served, settled) = (nil, nil)
            return
        }
        let usual = latencies[latencies.count / 2]
        func window(_ first: Int) -> ArraySlice<LoadInterval>? {
            let end = first + ScaleUpResponse.window
            return end <= after.count ? after[first..<end] : nil
        }
        func seconds(_ time: Int64) -> Double { Double(time - doubledAt) / 1e9 }
        let wanted = 0.95 * 2 * rate * Double(length) * Double(ScaleUpResponse.window) / 1e9
        let answered = window(peak + 1)?.reduce(0.0) { $0 + LoadSeries.succeeded($1) } ?? 0
        guard answered >= wanted else {
            (served, settled) = (nil, nil)
            return
        }
        served = seconds(after[peak].start + length)
        let calmAgain = (peak + 1..<after.count).first { first in
            window(first)?.allSatisfy { $0.answered > 0 && $0.p50 <= 2 * usual } ?? false
        }
        settled = calmAgain.map { seconds(after[$0].start) }
    }
}
