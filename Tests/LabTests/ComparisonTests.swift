import Base
import TestSupport
import Testing

@testable import Lab

/// What is called a difference, and what is not.
@Suite struct ComparisonTests {
    private static let families: UInt64 = 400

    private func calls(_ results: RunResults) -> Int {
        results.experiments.flatMap(\.cases).flatMap(\.rows).flatMap(\.comparisons.values).count { $0.isDifferent }
    }

    @Test func familiesWithoutADifferenceCallOneAtMostOnceInTwenty() {
        for rounds in [3, 8] {
            let wrong = (1...Self.families).count { seed in
                calls(Runs.drawn(seed: seed, factor: 1, rounds: rounds)) > 0
            }
            // Of 400 families 5 % are 20; more than 33 have a probability of 0.2 % at exactly 5 %.
            #expect(wrong <= 33, "\(wrong) of \(Self.families) with \(rounds) rounds")
        }
    }

    @Test func aTenthIsFoundThroughThreePerCentOfNoise() {
        let found = (1...100).reduce(0) { $0 + calls(Runs.drawn(seed: $1, factor: 0.9)) }
        #expect(found >= 540, "\(found) of 600")
    }

    @Test func twoRunsOfTheSameShowNoDifference() {
        let run = Runs.drawn(seed: 7, factor: 0.5)
        let itself = RunComparison(run, run)
        #expect(itself.differences == 0)
        #expect(itself.experiments.flatMap(\.rows).allSatisfy { $0.comparison?.ratio == 1 })
        let wrong = (1...Self.families).count { seed in
            RunComparison(
                Runs.drawn(seed: seed, factor: 0.5), Runs.drawn(seed: seed + 10_000, factor: 0.5)
            ).differences > 0
        }
        #expect(wrong <= 33, "\(wrong) of \(Self.families)")
    }

    @Test func aSlowerMachineIsFoundInEachMeasure() throws {
        let comparison = RunComparison(
            Runs.drawn(seed: 1, factor: 0.5), Runs.drawn(seed: 2, factor: 0.5, speed: 0.8, cases: 7))
        let rows = comparison.experiments.flatMap(\.rows)
        #expect(rows.count == 12)
        #expect(comparison.differences == 12)
        for row in rows {
            let ratio = try #require(row.comparison?.ratio)
            #expect(abs(ratio - 0.8) < 0.06)
        }
        #expect(comparison.missing == ["Drawn, Case 6: only in B"])
        #expect(comparison.markdown.contains("A difference is proved in 12 of 12 comparisons."))
    }

    @Test func welchsTestIsThatOfTheTextbook() throws {
        // Values below 0 have no logarithms. R: t.test(c(-1,2,3,4), c(5,6,9)) gives t = -3.0237, df = 4.147, p = 0.0376.
        let comparison = Comparison.unpaired([-1, 2, 3, 4], [5, 6, 9])
        #expect(comparison.ratio == nil)
        let probability = try #require(comparison.probability)
        #expect(abs(probability - 0.0375) < 0.003, "\(probability)")
        #expect(Comparison.unpaired([1], [2]).probability == nil)
        #expect(Comparison.unpaired([2, 2], [2, 2]).probability == 1)
        #expect(Comparison.unpaired([2, 2], [3, 3]).probability == 0)
    }

    @Test func findingsAreHeldAgainstTheDataByRule() {
        func verdicts(_ factor: Double, _ expect: JSON) -> [FindingCheck.Verdict?] {
            let results = Runs.drawn(seed: 3, factor: factor, expect: expect)
            let subject = ReportSubject(results)
            return results.experiments[0].findings.flatMap { results.experiments[0].checks($0, subject) }.map(\.verdict)
        }
        let expect: JSON = [
            ["is": "same"], ["is": "worse"], ["is": "worse", "factor": 2], ["is": "worse", "factor": 8],
            ["is": "better"],
            ["is": "unfinished"], ["is": "worse", "when": ["isolation": "pod"]],
        ]
        #expect(
            verdicts(0.5, expect) == [.differs, .agrees, .agrees, .weaker, .differs, .differs, .unmeasured])
        #expect(
            verdicts(1, expect)
                == [.agrees, .unproved, .unproved, .unproved, .unproved, .differs, .unmeasured])
    }
}
