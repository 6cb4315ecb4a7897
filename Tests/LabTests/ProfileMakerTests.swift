import Base
import Planning
import Testing

@testable import Lab

/// Runs made by hand, and what a host's profile tells of them.
@Suite struct ProfileMakerTests {
    private static func item(
        _ name: String, resource: String?, base: (String, String), measure: JSON, conditions: [JSON]
    ) -> JSON {
        [
            "name": JSON(name), "title": JSON(name), "resource": JSON(resource), "base": [JSON(base.0), JSON(base.1)],
            "measures": [measure], "conditions": JSON(conditions),
        ]
    }

    private static func run(_ cases: [JSON], quick: Bool = false, state: String = "complete") -> JSON {
        [
            "version": 1, "id": "20261126-080000", "state": JSON(state), "started": "2026-11-26T08:00:00Z",
            "ended": "2026-11-26T09:00:00Z", "options": ["quick": JSON(quick), "rounds": .null],
            "host": ["hostname": "h", "accelerator": "tcg"],
            "experiments": [["name": "x", "title": "x", "question": "?", "cases": JSON(cases)]],
        ]
    }

    private static func samples(
        _ name: String, _ condition: [(String, String)], _ measure: String, _ values: [Double?],
        failed: Trial = .unfinished(after: 60_000_000_000)
    ) -> [Sample] {
        values.enumerated().map { round, value in
            Sample(
                experiment: "x", name: name, condition: Condition(condition), round: round + 1,
                started: Timestamp(seconds: 1_800_000_000), elapsed: 1_000_000, stolen: 0,
                trial: value.map { Trial(values: [measure: $0]) } ?? failed)
        }
    }

    private static let rate: JSON = ["name": "rate", "unit": "1/s", "better": "higher"]
    private static let time: JSON = ["name": "time", "unit": "ms", "better": "lower"]
    /// Small noise, the same for all, and large enough that nothing is certain by itself.
    private static let noise = [1.0, 1.01, 0.99, 1.005, 0.995, 1.0, 1.008, 0.992]

    private static func values(_ value: Double, shift: Int = 0) -> [Double?] {
        noise.indices.map { value * noise[($0 + shift) % noise.count] }
    }

    @Test func overheadsAreTheMeanOfTheCasesOfAResource() throws {
        let isolations: [JSON] = ["process", "container", "microvm"].map { ["isolation": $0] }
        let cases = [
            ProfileMakerTests.item(
                "reads", resource: "disk", base: ("isolation", "process"), measure: ProfileMakerTests.rate,
                conditions: isolations),
            ProfileMakerTests.item(
                "waits", resource: "disk", base: ("isolation", "process"), measure: ProfileMakerTests.time,
                conditions: isolations),
            ProfileMakerTests.item(
                "calls", resource: nil, base: ("isolation", "process"), measure: ProfileMakerTests.rate,
                conditions: isolations),
        ]
        var samples: [Sample] = []
        for (shift, (isolation, rate, time)) in [("process", 100.0, 10.0), ("container", 100, 10), ("microvm", 50, 40)]
            .enumerated()
        {
            for (name, measure, value) in [("reads", "rate", rate), ("waits", "time", time), ("calls", "rate", 1)] {
                samples += ProfileMakerTests.samples(
                    name, [("isolation", isolation)], measure, ProfileMakerTests.values(value, shift: shift))
            }
        }
        let profile = ProfileMaker(RunResults(ProfileMakerTests.run(cases), samples)).profile
        #expect(profile.accelerator == "tcg" && profile.entries.count == 2)
        let microvm = try #require(profile.overhead(.disk, "microvm"))
        // Half of the reads and a quarter of the speed: √8 times slower in the mean.
        #expect(abs((microvm.value ?? 0) - (1 - 1 / 8.0.squareRoot())) < 0.01)
        #expect(microvm.isProved && microvm.cases == ["reads", "waits"] && microvm.base == "process")
        #expect(microvm.interval?.contains(1 - 1 / 8.0.squareRoot()) == true)
        let container = try #require(profile.overhead(.disk, "container"))
        #expect(!container.isProved && container.countedLoss == 0 && !container.isShortened)
    }

    @Test func lossesAreByNeighbourIsolationAndAllocation() throws {
        var conditions: [JSON] = []
        var samples: [Sample] = []
        for allocation in ["dedicated", "shared"] {
            for (shift, neighbour) in ["none", "competing", "orthogonal", "adversarial"].enumerated() {
                conditions.append([
                    "isolation": "container", "allocation": JSON(allocation), "neighbour": JSON(neighbour),
                ])
                let value =
                    switch (allocation, neighbour) {
                    case ("shared", "competing"): 60.0
                    case (_, "adversarial"): 80.0
                    default: 100.0
                    }
                let values =
                    allocation == "shared" && neighbour == "adversarial"
                    ? [nil, nil] : ProfileMakerTests.values(value, shift: shift)
                samples += ProfileMakerTests.samples(
                    "compile", [("isolation", "container"), ("allocation", allocation), ("neighbour", neighbour)],
                    "rate",
                    values)
            }
        }
        let item = ProfileMakerTests.item(
            "compile", resource: "cpu", base: ("neighbour", "none"), measure: ProfileMakerTests.rate,
            conditions: conditions)
        let results = RunResults(ProfileMakerTests.run([item], quick: true), samples)
        let profile = ProfileMaker(results).profile
        #expect(profile.entries.count == 6 && profile.entries.allSatisfy { $0.isShortened })
        let shared = try #require(profile.loss(.cpu, "container", "shared", .competing))
        #expect(abs((shared.value ?? 0) - 0.4) < 0.01 && shared.isProved)
        #expect(profile.loss(.cpu, "container", "dedicated", .orthogonal)?.countedLoss == 0)
        let unfinished = try #require(profile.loss(.cpu, "container", "shared", .adversarial))
        #expect(unfinished.value == nil && unfinished.countedLoss == 1)
        // What it makes is what the engine takes.
        #expect(try HostProfile(json: JSON(parsing: profile.json.text)) == profile)
    }

    /// An image that could not be made is no neighbour's doing.
    @Test func whatFailedForAnotherReasonIsNoLoss() {
        let conditions: [JSON] = ["none", "adversarial"].map {
            ["isolation": "container", "allocation": "shared", "neighbour": JSON($0)]
        }
        let item = ProfileMakerTests.item(
            "compile", resource: "cpu", base: ("neighbour", "none"), measure: ProfileMakerTests.rate,
            conditions: conditions)
        let place = [("isolation", "container"), ("allocation", "shared")]
        let samples =
            ProfileMakerTests.samples(
                "compile", place + [("neighbour", "none")], "rate", ProfileMakerTests.values(100))
            + ProfileMakerTests.samples(
                "compile", place + [("neighbour", "adversarial")], "rate", [nil, nil],
                failed: Trial(failure: "ended with status 127: fork-bomb: not found"))
        #expect(ProfileMaker(RunResults(ProfileMakerTests.run([item]), samples)).profile.entries.isEmpty)
    }

    @Test func sizesAndTimesAreThoseOfTheirExperiments() throws {
        func item(_ name: String, _ measure: String, _ unit: String, _ factor: String, _ values: [String]) -> JSON {
            ProfileMakerTests.item(
                name, resource: nil, base: ("isolation", "container"),
                measure: ["name": JSON(measure), "unit": JSON(unit), "better": "lower"],
                conditions: ["container", "microvm"].flatMap { isolation in
                    values.map { ["isolation": JSON(isolation), factor: JSON($0)] as JSON }
                })
        }
        let cases = [
            item("start", "answer", "s", "start", ["cold", "usual", "clone"]),
            item("density", "memory", "MiB each", "count", ["1", "10"]),
            item("hard", "memory", "MiB each", "level", ["1"]),
        ]
        var samples: [Sample] = []
        for (name, measure, factor, level, container, microvm) in [
            ("start", "answer", "start", "cold", 0.03, 2.5), ("start", "answer", "start", "usual", 0.02, 0.09),
            ("start", "answer", "start", "clone", 0.01, 0.01), ("density", "memory", "count", "1", 5.0, 70),
            ("density", "memory", "count", "10", 2, 24), ("hard", "memory", "level", "1", 1, 1000),
        ] {
            for (isolation, value) in [("container", container), ("microvm", microvm)] {
                samples += ProfileMakerTests.samples(
                    name, [("isolation", isolation), (factor, level)], measure, ProfileMakerTests.values(value))
            }
        }
        let profile = ProfileMaker(RunResults(ProfileMakerTests.run(cases, state: "stopped"), samples)).profile
        #expect(profile.entries.count == 3)
        #expect(profile.start("microvm")?.value == 90 && profile.start("container")?.value == 20)
        let memory = try #require(profile.memory("microvm"))
        #expect(memory.value == 22 * 1_048_576 && memory.isProved && memory.isShortened && memory.cases == ["density"])
        #expect(profile.memory("container") == nil)
    }
}
