import Glibc

/// What is told of the values of one measure under one condition.
public struct Summary: Sendable, Hashable {
    public let count: Int
    public let median: Double
    public let minimum: Double
    public let maximum: Double
    /// Holds the true median with a probability of at least 95 %; nil for fewer than two values.
    public let interval: ClosedRange<Double>?

    /// Nil without values.
    public init?(_ values: [Double]) {
        let sorted = values.sorted()
        guard let first = sorted.first, let last = sorted.last else { return nil }
        count = sorted.count
        minimum = first
        maximum = last
        median = Summary.median(ofSorted: sorted)
        interval = Summary.interval(sorted, median)
    }

    /// Half of the interval's width in relation to the median; nil where there is none.
    public var precision: Double? {
        guard let interval, median != 0 else { return nil }
        return (interval.upperBound - interval.lowerBound) / 2 / abs(median)
    }

    static func median(ofSorted sorted: [Double]) -> Double {
        let middle = sorted.count / 2
        return sorted.count.isMultiple(of: 2) ? (sorted[middle - 1] + sorted[middle]) / 2 : sorted[middle]
    }

    /// From six values on that between two of them, without an assumption about their distribution (order statistics: the number of
    /// values below the median is binomial). Fewer cannot have 95 % so: for them Student's interval, as wide as the median of
    /// normal values needs it (its standard error is √(π/2) times that of the mean).
    private static func interval(_ sorted: [Double], _ median: Double) -> ClosedRange<Double>? {
        let count = sorted.count
        guard count >= 2 else { return nil }
        guard count < 6 else {
            let rank = lowerRank(count)
            return sorted[rank]...sorted[count - 1 - rank]
        }
        let mean = sorted.reduce(0, +) / Double(count)
        let variance = sorted.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(count - 1)
        let half =
            StudentT.quantile(0.975, degrees: Double(count - 1))
            * (Double.pi / 2 * variance / Double(count)).squareRoot()
        return median - half...median + half
    }

    /// The greatest index r for which the values with index r and count-1-r enclose the median with 95 %.
    private static func lowerRank(_ count: Int) -> Int {
        // P(fewer than r+1 values lie below the median) for each r.
        var term = pow(0.5, Double(count))
        var below = term
        var rank = 0
        while true {
            term *= Double(count - rank) / Double(rank + 1)
            guard below + term <= 0.025 else { return rank }
            below += term
            rank += 1
        }
    }
}
