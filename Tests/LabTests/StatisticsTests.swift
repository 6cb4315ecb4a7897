import Glibc
import TestSupport
import Testing

@testable import Lab

@Suite struct StatisticsTests {
    @Test func studentsQuantilesAreThoseOfTheTables() {
        #expect(abs(StudentT.quantile(0.975, degrees: 2) - 4.30265) < 1e-4)
        #expect(abs(StudentT.quantile(0.975, degrees: 10) - 2.22814) < 1e-4)
        #expect(abs(StudentT.quantile(0.95, degrees: 30) - 1.69726) < 1e-4)
        #expect(abs(StudentT.twoSided(2.22814, degrees: 10) - 0.05) < 1e-5)
    }

    @Test func anIntervalIsOfOrderStatistics() throws {
        // Eight values: the extremes; twelve: the second and the eleventh.
        let eight = try #require(Summary([3, 1, 2, 8, 7, 6, 5, 4]))
        #expect(eight.median == 4.5)
        #expect(eight.interval == 1...8)
        #expect(Summary((1...11).map(Double.init))?.interval == 1...11)
        #expect(Summary((1...12).map(Double.init))?.interval == 2...11)
        #expect(Summary((1...30).map(Double.init))?.interval == 8...23)
        #expect(Summary([]) == nil)
        #expect(Summary([5])?.interval == nil)
    }

    /// Which is what the interval promises, for values of any distribution.
    @Test(arguments: [2, 3, 5, 8, 9, 12, 20, 40]) func anotherRunsMedianLiesWithinTheInterval(count: Int) {
        var random = SeededRandom(seed: UInt64(count))
        for isSkewed in [false, true] {
            func run() -> [Double] {
                (0..<count).map { _ in
                    let value = Runs.normal(&random)
                    return isSkewed ? exp(value) : value
                }
            }
            let times = 1000
            let held = (0..<times).count { _ in
                guard let first = Summary(run()), let second = Summary(run()) else { return false }
                return first.interval?.contains(second.median) == true
            }
            // Few skewed values are no normal ones.
            #expect(Double(held) / Double(times) > (isSkewed && count < 8 ? 0.9 : 0.93))
        }
    }
}
