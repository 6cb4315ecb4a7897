import Glibc

/// What is told of the values of one measure under one condition.
public struct Summary: Sendable, Hashable {
    public let count: Int
    public let median: Double
    public let minimum: Double
    public let maximum: Double
    /// Holds the median of as many further values with a probability of 95 %, as of the same run again; nil for fewer than two values.
    /// It is wider than a confidence interval of the true median, by some √2: of that another run's median is outside once in six times.
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

    /// From eight values on that between two of them, without an assumption about their distribution (order statistics). Fewer cannot
    /// have 95 % so: for them Student's interval, as wide as the difference of two medians of normal values needs it (a median's
    /// standard error is √(π/2) times that of the mean, and that of the difference √2 times as large).
    private static func interval(_ sorted: [Double], _ median: Double) -> ClosedRange<Double>? {
        let count = sorted.count
        guard count >= 2 else { return nil }
        if let rank = lowerRank(count) { return sorted[rank]...sorted[count - 1 - rank] }
        let mean = sorted.reduce(0, +) / Double(count)
        let variance = sorted.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(count - 1)
        let half =
            StudentT.quantile(0.975, degrees: Double(count - 1))
            * (Double.pi * variance / Double(count)).squareRoot()
        return median - half...median + half
    }

    /// The greatest index r for which the values with index r and count-1-r enclose the median of as many further ones with 95 %; nil
    /// where not even the extremes do.
    private static func lowerRank(_ count: Int) -> Int? {
        // Of an even number the median lies between two. That fewer than r+1 values lie below it is less probable than the mean
        // of what it is for those two: by simulation 2.0 % instead of 2.56 % for eight values.
        let middles = count.isMultiple(of: 2) ? [count / 2, count / 2 + 1] : [count / 2 + 1]
        var below = 0.0
        for rank in 0..<count / 2 {
            below += middles.reduce(0) { $0 + probability(of: rank, below: $1, of: count) } / Double(middles.count)
            if below > 0.026 { return rank == 0 ? nil : rank - 1 }
        }
        return nil
    }

    /// That `number` of `count` values lie below the one at `place` (from 1) of as many further ones: of the ways to arrange all of
    /// them, which are equally probable, those with so many before that one.
    private static func probability(of number: Int, below place: Int, of count: Int) -> Double {
        func ways(_ chosen: Int, _ all: Int) -> Double {
            (0..<chosen).reduce(1) { $0 * Double(all - $1) / Double($1 + 1) }
        }
        return ways(number, number + place - 1) * ways(count - number, 2 * count - number - place)
            / ways(count, 2 * count)
    }
}
