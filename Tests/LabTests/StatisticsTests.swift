import Testing
import TestSupport

@testable import Lab

@Suite struct StatisticsTests {
    @Test func studentsQuantilesAreThoseOfTheTables() {
        #expect(abs(StudentT.quantile(0.975, degrees: 2) - 4.30265) < 1e-4)
        #expect(abs(StudentT.quantile(0.975, degrees: 10) - 2.22814) < 1e-4)
        #expect(abs(StudentT.quantile(0.95, degrees: 30) - 1.69726) < 1e-4)
        #expect(abs(StudentT.twoSided(2.22814, degrees: 10) - 0.05) < 1e-5)
    }

    @Test func anIntervalOfOrderStatisticsHasThePublishedRanks() throws {
        // Six values: the extremes (96.9 %); ten: the second and the ninth (97.9 %).
        let six = try #require(Summary([3, 1, 2, 6, 5, 4]))
        #expect(six.median == 3.5)
        #expect(six.interval == 1...6)
        let ten = try #require(Summary((1...10).map(Double.init)))
        #expect(ten.interval == 2...9)
        #expect(Summary([]) == nil)
        #expect(Summary([5])?.interval == nil)
    }
}
