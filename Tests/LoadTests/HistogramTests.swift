import TestSupport
import Testing

@testable import Load

struct HistogramTests {
    /// The exact answer: nearest rank of the sorted values.
    private func exact(_ sorted: [Int64], _ percent: Double) -> Int64 {
        sorted[max(0, Int((percent / 100 * Double(sorted.count)).rounded(.up)) - 1)]
    }

    /// Values of all sizes: the exponent is as random as what is below it.
    private func values(_ count: Int, _ random: inout SeededRandom) -> [Int64] {
        (0..<count).map { _ in Int64(random.next() >> UInt64(64 - 1 - random.below(41))) }
    }

    @Test(arguments: Seeds.first(20)) func percentilesAreWithinAThousandthOfTheExact(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        let values = values(1 + random.below(5000), &random)
        var histogram = Histogram()
        for value in values { histogram.record(value) }
        let sorted = values.sorted()
        for percent in [0, 1, 25, 50, 75, 90, 95, 99, 99.9, 99.99, 100] {
            let (found, wanted) = (histogram.percentile(percent), exact(sorted, percent))
            #expect(found >= wanted, "\(percent)")
            #expect(Double(found - wanted) <= Double(wanted) / 1000, "\(percent): \(found) instead of \(wanted)")
        }
        #expect(histogram.count == UInt64(values.count))
        #expect(histogram.minimum == sorted[0])
        #expect(histogram.maximum == sorted[sorted.count - 1])
        let mean = values.reduce(0.0) { $0 + Double($1) } / Double(values.count)
        #expect(abs(histogram.mean - mean) <= mean / 1e9)
        #expect(histogram.buckets.reduce(0) { $0 + $1.count } == histogram.count)
        #expect(histogram.buckets.map(\.highest) == histogram.buckets.map(\.highest).sorted())
    }

    @Test(arguments: Seeds.first(10)) func mergedIsAsIfOneHadCountedAll(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        var whole = Histogram()
        var parts = [Histogram(), Histogram(), Histogram()]
        for value in values(2000, &random) {
            whole.record(value)
            parts[random.below(3)].record(value)
        }
        var merged = Histogram()
        for part in parts { merged.merge(part) }
        #expect(merged.buckets.map(\.highest) == whole.buckets.map(\.highest))
        #expect(merged.buckets.map(\.count) == whole.buckets.map(\.count))
        #expect(merged.count == whole.count && merged.minimum == whole.minimum && merged.maximum == whole.maximum)
        #expect(abs(merged.mean - whole.mean) <= whole.mean / 1e9)
        let deviation = whole.standardDeviation
        #expect(abs(merged.standardDeviation - deviation) <= deviation / 1e6)
    }

    @Test func boundsAreKept() {
        var histogram = Histogram()
        #expect(histogram.percentile(99) == 0 && histogram.mean == 0 && histogram.buckets.isEmpty)
        histogram.record(-5)
        histogram.record(.max)
        #expect(histogram.minimum == 0)
        #expect(histogram.maximum == Histogram.longest)
        #expect(histogram.percentile(100) == Histogram.longest)
        histogram.removeAll()
        #expect(histogram == Histogram())
        histogram.record(7)
        #expect(histogram.percentile(50) == 7)
    }

    /// Every boundary between two buckets: no gap, no overlap.
    @Test func bucketsFollowEachOther() {
        var last: Int64 = -1
        while last < Histogram.longest {
            var histogram = Histogram()
            histogram.record(last + 1)
            let highest = histogram.buckets[0].highest
            #expect(highest > last)
            var same = Histogram()
            same.record(highest)
            #expect(same.buckets[0].highest == highest)
            #expect(Double(highest - last - 1) <= Double(last + 1) / 1024)
            // All small buckets, then some of each power of two.
            last = highest < 1 << 13 ? highest : highest + (highest / 7)
            guard last >= 1 << 13, last < Histogram.longest else { continue }
            var next = Histogram()
            next.record(last)
            last = next.buckets[0].highest
        }
    }
}
