import TestSupport
import Testing

@testable import Load

struct LoadProfileTests {
    private func arrivals(_ profile: LoadProfile, _ worker: Int = 0, of workers: Int = 1) -> [Int64] {
        var schedule = ArrivalSchedule(profile, worker: worker, workers: workers)
        var times: [Int64] = []
        while let next = schedule.next {
            times.append(next)
            schedule.advance()
        }
        return times
    }

    @Test func constantRateIsEvenlySpaced() {
        let times = arrivals(LoadProfile(.rate, constant: 500, duration: 2_000_000_000))
        #expect(times.count == 1000)
        #expect(times.enumerated().allSatisfy { abs($1 - Int64($0) * 2_000_000) <= 2 })
    }

    @Test func aRampHasItsAreaOfRequests() {
        let times = arrivals(LoadProfile(.rate, from: 0, to: 100, duration: 10_000_000_000))
        #expect(times.count == 500)
        // After half of the time a quarter is due.
        #expect((124...126).contains(times.filter { $0 < 5_000_000_000 }.count))
        #expect(times == times.sorted())
    }

    @Test func stagesFollowEachOther() {
        let second: Int64 = 1_000_000_000
        let profile = LoadProfile(
            .rate, stages: [(0, 10), (2 * second, 10), (second, 0), (second, 0), (0, 50), (second, 50)])
        #expect(profile.duration == 5 * second)
        #expect(profile.highest == 50)
        let times = arrivals(profile)
        #expect(times.count == 20 + 5 + 50)
        #expect(!times.contains { $0 > 3 * second && $0 < 4 * second - 1 })
    }

    @Test func usersGrowInALine() {
        let profile = LoadProfile(.concurrency, from: 1, to: 81, duration: 80)
        #expect(profile.value(at: 0) == 1)
        #expect(profile.value(at: 40) == 41)
        #expect(profile.value(at: 80) == 0)
        let stages = LoadProfile(.concurrency, stages: [(100, 11), (50, 11)])
        #expect(stages.value(at: 50) == 6)
        #expect(stages.value(at: 120) == 11)
    }

    @Test(arguments: Seeds.first(20)) func workersShareAllRequests(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        let stages = (0...random.below(5)).map { _ in
            (Int64(random.below(2_000_000_000)), Double(random.below(300)))
        }
        let profile = LoadProfile(.rate, stages: stages)
        let whole = arrivals(profile)
        let workers = 1 + random.below(4)
        let shared = (0..<workers).flatMap { arrivals(profile, $0, of: workers) }.sorted()
        #expect(shared == whole)
        #expect(whole == whole.sorted())
        #expect(whole.allSatisfy { $0 >= 0 && $0 <= profile.duration })
        let area = profile.stages.reduce(0) { $0 + $1.arrivals }
        #expect(abs(Double(whole.count) - area) <= 1)
    }

    @Test func loadsAreWrittenWithTheirKind() throws {
        #expect(try LoadProfile.parse("50") == (.concurrency, 50))
        #expect(try LoadProfile.parse("0.5/s") == (.rate, 0.5))
        for text in ["", "x", "-1", "5/m", "nan", "inf/s", "1e9", "/s"] {
            #expect(throws: (any Error).self, "\(text)") { try LoadProfile.parse(text) }
        }
    }
}
