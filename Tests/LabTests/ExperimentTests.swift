import Base
import Kernel
import Planning
import TestSupport
import Testing
import YAML

@testable import Lab

@Suite struct ExperimentTests {
    private static let scope = Scope(
        isolations: Set(LabIsolation.allCases), allocations: Set(LabAllocation.allCases), processors: 2,
        memory: 24 << 30)

    /// The experiments that come with Skala.
    private static var shipped: ExperimentFolders {
        let repository = #filePath.split(separator: "/").dropLast(3).map { "/" + $0 }.joined()
        return ExperimentFolders(own: [repository + "/experiments"], program: "/nowhere/bin/skala")
    }

    private static let small = """
        title: T
        question: Q?
        procedure: workload
        images: { box: busybox }
        isolations: [container]
        allocations: [hard, shared]
        rounds: { min: 3, max: 4 }
        quick: { rounds: { min: 1, max: 2 }, allocations: [hard] }
        workloads:
          w:
            image: box
            run: echo 1
            neighbours: { competing: w }
            measures: { m: { pattern: '([0-9]+)', unit: s, better: lower } }
        """

    @Test func whatComesWithSkalaIsWhole() throws {
        let all = Self.shipped.all()
        let names = Set(all.map(\.name))
        for name in ["baseline", "interference", "overcommit", "startup", "density", "move", "combine", "placement"] {
            #expect(names.contains(name))
        }
        for (name, folder) in all {
            for quick in [false, true] {
                let experiment = try Experiment(folder: folder, quick: quick)
                let cases = experiment.procedure.cases(Self.scope)
                #expect(!cases.isEmpty, "\(name)")
                for item in cases {
                    #expect(!item.conditions.isEmpty && Set(item.conditions).count == item.conditions.count, "\(name)")
                    #expect(!item.measures.isEmpty, "\(name)")
                    // Something is compared with something.
                    #expect(
                        item.conditions.count == 1 || item.conditions.contains { item.base(of: $0) != nil }, "\(name)")
                }
            }
        }
    }

    @Test func conditionsAreAllCombinations() throws {
        let item = try #require(try Specs.experiment(Self.small).procedure.cases(Self.scope).first)
        #expect(
            item.conditions.map(\.description) == [
                "container, hard, none", "container, hard, competing", "container, shared, none",
                "container, shared, competing",
            ])
        let base = try #require(item.base(of: item.conditions[3]))
        #expect(base == item.conditions[2])
        #expect(item.base(of: item.conditions[0]) == nil)
    }

    /// A host's profile, which the engine checks, has the words of the lab.
    @Test func theWordsOfTheProfileAreThoseOfTheLab() {
        #expect(LabIsolation.allCases.map(\.rawValue) == HostProfile.isolations)
        #expect(LabAllocation.allCases.map(\.rawValue) == HostProfile.allocations)
    }

    @Test func quickTakesThePlaceOfItsKeysOnly() throws {
        let experiment = try Specs.experiment(Self.small, quick: true)
        #expect(experiment.rounds.least == 1 && experiment.rounds.most == 2)
        #expect(experiment.rounds.precision == 0.05)
        #expect(experiment.procedure.cases(Self.scope)[0].conditions.count == 2)
    }

    @Test(
        "errors name line and column",
        arguments: [
            ("title: T", "titel: T", "1:1: unknown key 'titel'; did you mean 'title'?"),
            ("procedure: workload", "procedure: magic", "3:12: procedure: expected one of density, "),
            ("isolations: [container]", "isolations: [containr]", "5:14: isolations[0]: "),
            ("[hard, shared]", "[hard, hard]", "6:21: allocations[1]: 'hard' stands there twice"),
            ("image: box", "image: bax", "11:12: workloads.w.image: no image 'bax' stands under 'images'"),
            ("competing: w", "competing: x", "w: no workload 'x' to be its neighbour"),
            ("'([0-9]+)'", "'([0-9]+'", "14:31: workloads.w.measures.m.pattern: no regular expression"),
            ("'([0-9]+)'", "'[0-9]+'", "workloads.w.measures.m.pattern: a group is missing"),
            ("min: 3, max: 4", "min: 3, max: 2", "7:24: rounds.max: 2 is not within 3 and 1000"),
            ("better: lower", "better: less", "workloads.w.measures.m.better: higher, lower, neither is expected"),
        ])
    func errorsNameLineAndColumn(_ right: String, _ wrong: String, _ message: String) {
        Specs.expectRefusal(of: Self.small, replacing: right, with: wrong, message)
    }

    private static let fenced = """
        title: T
        question: Q?
        procedure: group
        images: { box: busybox }
        isolations: [container, microvm]
        allocations: [hard, soft]
        guests: [promised, balloon]
        fence: 1g
        levels: [1, 1.5]
        quick: { isolations: [container], fence: 512m, levels: [1] }
        workloads:
          w:
            image: box
            memory: 256m
            run: echo 1
            measures: { m: { pattern: '([0-9]+)', unit: s, better: lower } }
        """

    @Test func aFenceHasWaysForEachIsolation() throws {
        let group = try #require(try Specs.experiment(Self.fenced).procedure as? GroupProcedure)
        let item = try #require(group.cases(Self.scope).first)
        #expect(
            item.conditions.map(\.description) == [
                "container, hard, 1", "container, hard, 1.5", "container, soft, 1", "container, soft, 1.5",
                "microvm, promised, 1", "microvm, promised, 1.5", "microvm, balloon, 1", "microvm, balloon, 1.5",
            ])
        #expect(item.base(of: item.conditions[7]) == item.conditions[6])
        #expect(item.measures.map(\.name) == ["mean", "slowest", "memory"])
        #expect(group.copies(group.workloads[0], 1) == 4 && group.copies(group.workloads[0], 1.5) == 6)
        // Where processors are promised there are so many for each that there is, and what they do adds up.
        let free = Self.fenced.replacing("fence: 1g\n", with: "").replacing("guests: [promised, balloon]\n", with: "")
            .replacing("fence: 512m, ", with: "").replacing("better: lower", with: "better: higher")
        let other = try #require(try Specs.experiment(free).procedure as? GroupProcedure)
        #expect(other.cases(Self.scope)[0].measures.map(\.name) == ["total", "slowest", "memory"])
        #expect(other.copies(other.workloads[0], 1) == HostFacts.onlineCPUs)
    }

    @Test func aFenceMayBeSmallerOrImpossible() throws {
        let quick = try #require(try Specs.experiment(Self.fenced, quick: true).procedure as? GroupProcedure)
        let item = try #require(quick.cases(Self.scope).first)
        #expect(item.conditions.map(\.description) == ["container, hard", "container, soft"])
        #expect(item.base(of: item.conditions[1]) == item.conditions[0])
        #expect(quick.copies(quick.workloads[0], 1) == 2)
        let poor = Scope(
            isolations: Self.scope.isolations, allocations: Self.scope.allocations, processors: 2, memory: 24 << 30,
            fenceObstacle: "no groups")
        #expect(quick.cases(poor)[0].conditions.isEmpty && quick.obstacles(poor) == ["no groups"])
        let small = Scope(
            isolations: Self.scope.isolations, allocations: Self.scope.allocations, processors: 2, memory: 700 << 20)
        #expect(quick.cases(small)[0].conditions.isEmpty && quick.obstacles(small).count == 1)
    }

    @Test(
        "errors of a fence name line and column",
        arguments: [
            ("fence: 1g", "duration: 1s", "7:9: guests: guests are made smaller within a 'fence' only"),
            ("fence: 1g", "fence: 1m", "8:8: fence: a fence has at least 64m of memory"),
            ("fence: 1g", "fence: some", "8:8: fence: "),
            (
                "[container, microvm]", "[container, process]",
                "5:25: isolations[1]: only containers and microvms can be"
            ),
            ("[container, microvm]", "container", "7:9: guests: there is no microvm among the isolations"),
            ("[hard, soft]", "[hard, dedicated]", "6:21: allocations[1]: in a fence the allocations are hard and soft"),
            ("[promised, balloon]", "[promised, baloon]", "7:20: guests[1]: "),
        ])
    func errorsOfAFenceNameLineAndColumn(_ right: String, _ wrong: String, _ message: String) {
        Specs.expectRefusal(of: Self.fenced, replacing: right, with: wrong, message)
    }

    @Test func whatWasKilledIsAResult() throws {
        let conditions = ["hard", "soft"].map { Condition([("allocation", $0)]) }
        let record: JSON = [
            "experiments": [
                [
                    "name": "x",
                    "findings": [
                        [
                            "source": "S", "text": "T",
                            "expect": [
                                ["is": "worse", "when": ["allocation": "soft"], "against": ["allocation": "hard"]]
                            ],
                        ]
                    ],
                    "cases": [
                        [
                            "name": "y", "base": ["allocation", "hard"],
                            "measures": [["name": "m", "unit": "s", "better": "lower"]],
                            "conditions": JSON(conditions.map(\.json)),
                        ]
                    ],
                ]
            ]
        ]
        let samples = (1...2).flatMap { round in
            [
                Runs.sample("x", "y", conditions[0], round, Trial(values: ["m": 1])),
                Runs.sample("x", "y", conditions[1], round, .killed("too little")),
            ]
        }
        let kept = try samples.map { try #require(Sample(try JSON(parsing: $0.json.text))) }
        #expect(kept == samples)
        let results = RunResults(record, kept)
        let row = results.experiments[0].cases[0].rows[1]
        #expect(row.wasKilled && !row.isUnfinished && CaseFigures.absence(row) == "was killed")
        #expect(row.failures == ["was killed: too little"])
        let checks = results.experiments[0].checks(results.experiments[0].findings[0], ReportSubject(results))
        #expect(checks.map(\.verdict) == [.agrees])
    }

    @Test func valuesAreFoundInWhatProgramsSay() throws {
        func value(_ place: String, _ output: String) throws -> Double? {
            let yaml = try #require(
                try YAMLParser.parse(Array("m: { \(place), unit: s, better: lower }".utf8), name: "test"))
            return try MeasurePattern.read(YAMLValue(yaml))[0].value(
                in: Execution(status: 0, output: output, elapsed: 1_500_000_000))
        }
        #expect(try value("pattern: '^tps = ([0-9.]+)'", "warm tps = 1\ntps = 2.5\ntps = 3.5\n") == 3.5)
        #expect(try value("pattern: 'x=([0-9]+)'", "nothing") == nil)
        #expect(try value("json: jobs.0.iops, scale: 0.5", "fio says:\n{\"jobs\":[{\"iops\":8}]}\nend\n") == 4)
        #expect(try value("json: jobs.1.iops", "{\"jobs\":[{\"iops\":8}]}") == nil)
        #expect(try value("elapsed: true", "") == 1.5)
    }

    @Test func theFingerprintIsThatOfTheFileAndTheRecipes() throws {
        let folder = try TemporaryFolder()
        try FileContents.makeDirectories(folder.path + "/e")
        try FileContents.makeDirectories(folder.path + "/box")
        let file = folder.path + "/e/experiment.yaml"
        let text = Self.small.replacing("box: busybox", with: "box: ../box")
        func fingerprint() throws -> String { try Experiment(folder: folder.path + "/e", quick: false).fingerprint() }
        try FileContents.replace(file, with: Array(text.utf8))
        try FileContents.replace(folder.path + "/box/image.yaml", with: Array("packages: [fio]".utf8))
        try FileContents.replace(folder.path + "/box/a", with: Array("bc".utf8))
        let first = try fingerprint()
        #expect(first.utf8.count == 16)
        #expect(try fingerprint() == first)
        var seen: Set<String> = [first]
        try FileContents.replace(folder.path + "/box/a", with: Array("bd".utf8))
        #expect(seen.insert(try fingerprint()).inserted)
        try FileContents.replace(folder.path + "/box/image.yaml", with: Array("packages: [gcc]".utf8))
        #expect(seen.insert(try fingerprint()).inserted)
        try FileContents.replace(file, with: Array((text + "\n# a remark").utf8))
        #expect(seen.insert(try fingerprint()).inserted)
    }

    @Test func theOrderOfARoundIsThatOfItsSeed() {
        func order(_ seed: UInt64, _ round: Int) -> [Int] {
            var order = SeededOrder(seed: seed, round: round, name: "a/b")
            return order.shuffled(Array(0..<20))
        }
        #expect(order(1, 1) == order(1, 1))
        #expect(order(1, 1) != order(1, 2))
        #expect(order(1, 1) != order(2, 1))
    }

    @Test func aSampleIsReadAsItWasWritten() throws {
        var trial = Trial(values: ["a": 1.25, "b": -3])
        trial.series = ["time": [0, 1], "rate": [10, 20.5]]
        trial.remarks = ["the neighbour ended meanwhile"]
        let sample = Sample(
            experiment: "x", name: "y", condition: Condition([("isolation", "pod"), ("level", "1.5")]), round: 3,
            started: Timestamp(seconds: 1_700_000_000), elapsed: 2_345_000_000, stolen: 0.25, trial: trial)
        #expect(Sample(try JSON(parsing: sample.json.text)) == sample)
    }

    @Test func aRunThatDiedKeepsItsWholeLines() throws {
        let folder = try TemporaryFolder()
        let run = RunFolder(folder.path)
        try run.write(["version": 1, "id": "r", "experiments": []])
        let sample = Sample(
            experiment: "x", name: "y", condition: Condition([]), round: 1, started: Timestamp(seconds: 1), elapsed: 0,
            stolen: 0, trial: .unfinished(after: 60_000_000_000))
        try run.append(sample)
        let whole = try FileContents.read(folder.path + "/samples.jsonl")
        try FileContents.replace(folder.path + "/samples.jsonl", with: whole + whole.prefix(20))
        #expect(try run.read().samples == [sample])
    }
}
