/// Counts of durations in buckets of bounded relative width: what HdrHistogram does (G. Tene, hdrhistogram.org).
///
/// A bucket is at most a thousandth of its values wide (three significant digits), from a nanosecond to 73 minutes. What
/// is longer counts as that. The memory is the same however many values there are: 264 KiB.
public struct Histogram: Sendable, Equatable {
    /// Sub-buckets of each power of two above the first: 2^10 of them are a thousandth each.
    private static let half = 1024
    /// The longest duration that is told apart: 2^42 - 1 ns.
    public static let longest: Int64 = 1 << 42 - 1
    private static let size = index(of: longest) + 1

    private var counts = [UInt64](repeating: 0, count: size)
    /// The buckets that may hold something.
    private var used = size..<size
    public private(set) var count: UInt64 = 0
    /// The shortest and the longest value themselves, in nanoseconds.
    public private(set) var minimum: Int64 = .max
    public private(set) var maximum: Int64 = 0
    private var sum = 0.0
    private var squares = 0.0

    public init() {}

    /// Counts a duration in nanoseconds; one below zero (clocks of two processors) is zero.
    public mutating func record(_ nanoseconds: Int64) {
        let value = min(max(0, nanoseconds), Histogram.longest)
        let index = Histogram.index(of: value)
        counts[index] += 1
        count += 1
        widen(index..<index + 1)
        minimum = min(minimum, value)
        maximum = max(maximum, value)
        let real = Double(value)
        sum += real
        squares += real * real
    }

    /// Adds what the other counted.
    public mutating func merge(_ other: Histogram) {
        guard other.count > 0 else { return }
        for index in other.used { counts[index] += other.counts[index] }
        widen(other.used)
        count += other.count
        minimum = min(minimum, other.minimum)
        maximum = max(maximum, other.maximum)
        sum += other.sum
        squares += other.squares
    }

    /// Forgets everything, and keeps its memory.
    public mutating func removeAll() {
        for index in used { counts[index] = 0 }
        used = Histogram.size..<Histogram.size
        count = 0
        minimum = .max
        maximum = 0
        sum = 0
        squares = 0
    }

    /// The least value that `percent` of all values do not exceed (nearest rank), within a thousandth; 0 without values.
    public func percentile(_ percent: Double) -> Int64 {
        guard count > 0 else { return 0 }
        let share = min(max(percent, 0), 100) / 100 * Double(count)
        let rank = max(1, UInt64(share.rounded(.up)))
        var seen: UInt64 = 0
        for index in used {
            seen += counts[index]
            if seen >= rank { return min(Histogram.highest(at: index), maximum) }
        }
        return maximum
    }

    /// Exact, in nanoseconds; 0 without values.
    public var mean: Double { count == 0 ? 0 : sum / Double(count) }

    public var standardDeviation: Double {
        guard count > 0 else { return 0 }
        return max(0, squares / Double(count) - mean * mean).squareRoot()
    }

    /// The buckets that hold something: the longest duration that counts there, and how many there were.
    public var buckets: [(highest: Int64, count: UInt64)] {
        used.compactMap { counts[$0] == 0 ? nil : (Histogram.highest(at: $0), counts[$0]) }
    }

    private mutating func widen(_ range: Range<Int>) {
        guard !used.isEmpty else {
            used = range
            return
        }
        if range.lowerBound < used.lowerBound || range.upperBound > used.upperBound {
            used = min(used.lowerBound, range.lowerBound)..<max(used.upperBound, range.upperBound)
        }
    }

    /// Values below 2048 have a bucket each; from there on each power of two has 1024.
    private static func index(of value: Int64) -> Int {
        let shift = 64 - (value | Int64(2 * half - 1)).leadingZeroBitCount - 11
        return shift * half + Int(value >> Int64(shift))
    }

    private static func highest(at index: Int) -> Int64 {
        let shift = max(0, index / half - 1)
        return (Int64(index - shift * half + 1) << Int64(shift)) - 1
    }
}
