import Base
import Testing
import YAML

@testable import Lab
@testable import Load

@Suite struct LoadProcedureTests {
    static let text = """
        isolations: [process, container, pod]
        duration: 600s
        closed: { users: 80, rise: 520s }
        open: { rates: [2, 0.5] }
        quick: { duration: 20s }
        instances:
          database: { image: app, program: db, memory: 256m, ready: ping }
          web: { image: app, program: web, cpus: 2, environment: { DB_HOST: "${database}:3306" } }
        target: { instance: web, port: 8080 }
        """

    private static func value(_ text: String) throws -> YAMLValue {
        YAMLValue(try #require(try YAMLParser.parse(Array(text.utf8), name: "experiment.yaml")))
    }

    private static func read(_ text: String, quick: Bool = false, scale: Double = 1) throws -> LoadProcedure {
        let root = try value(text)
        return try LoadProcedure(
            SpecReader(root, quick: quick ? root["quick"] : nil, scale: scale), images: ["app"])
    }

    /// Users reach their number at the same part of a load of any length, as the study's did at 520 of 600 s.
    @Test(arguments: [(false, 1.0, 600.0), (true, 1, 20), (false, 0.05, 30), (true, 0.5, 10)])
    func usersRiseInProportion(quick: Bool, scale: Double, seconds: Double) throws {
        let load = try LoadProcedureTests.read(LoadProcedureTests.text, quick: quick, scale: scale)
        #expect(load.duration == Int64(seconds * 1e9))
        let closed = try #require(load.loops.first).profile
        #expect(closed.quantity == .concurrency && closed.duration == load.duration)
        let peak = Int64(seconds * 520 / 600 * 1e9)
        #expect(abs(closed.value(at: peak / 2) - 40.5) < 0.01)
        #expect(closed.value(at: peak - peak / 100) < 80 && closed.value(at: peak + peak / 100) == 80)
    }

    @Test func eachLoadIsMeasuredAtEachIsolation() throws {
        let load = try LoadProcedureTests.read(LoadProcedureTests.text)
        #expect(load.loops.map(\.name) == ["closed", "open 2/s", "open 0.5/s"])
        #expect(load.application.members.map(\.name) == ["database", "web"])
        #expect(load.application.members[1].processors == 2 && load.application.memory == 768 << 20)
        let scope = Scope(
            isolations: [.container, .pod], allocations: [.hard], processors: 2, memory: 4 << 30)
        let item = try #require(load.cases(scope).first)
        #expect(item.conditions.count == 6 && item.base.value == "container")
        #expect(item.conditions.count { item.base(of: $0) == nil } == 3)
        let small = Scope(isolations: [.container], allocations: [.hard], processors: 2, memory: 512 << 20)
        #expect(load.cases(small).isEmpty && load.obstacles(small).count == 1)
    }

    @Test func addressesTakeThePlaceOfNames() {
        let addresses = ["a": "10.0.0.1", "b": "10.0.0.2"]
        #expect(AddressTemplate.fill("x${a}:1,${b}", addresses) == "x10.0.0.1:1,10.0.0.2")
        #expect(AddressTemplate.fill("$a {a} ${a", addresses) == "$a {a} ${a")
        #expect(AddressTemplate.names(in: "${a}${b}") == ["a", "b"])
    }

    @Test(arguments: [
        ("${database}", "${other}"), ("image: app, program: web", "image: none, program: web"),
        ("rise: 520s", "rise: 601s"), ("users: 80", "users: 0"), ("instance: web", "instance: www"),
        ("rates: [2, 0.5]", "rates: [2, 2]"), ("rates: [2, 0.5]", "rates: [0]"), ("port: 8080", "port: 0"),
        ("program: db, ", ""), ("memory: 256m", "memroy: 256m"),
    ]) func whatIsWrongIsToldWithItsPlace(right: String, wrong: String) throws {
        let text = LoadProcedureTests.text.replacing(right, with: wrong)
        #expect(text != LoadProcedureTests.text)
        let error = try #require(throws: SkalaError.self) { try LoadProcedureTests.read(text) }
        #expect(error.message.contains("experiment.yaml:"), "\(error.message)")
    }

    @Test func aScaleUpIsRead() throws {
        let text = """
            isolations: [container, microvm]
            service: { image: app, program: web, port: 80, autoscale: { min: 1, max: 3, concurrency: 4 } }
            rate: 20
            before: 5s
            """
        func read(_ text: String) throws -> ScaleUpProcedure {
            try ScaleUpProcedure(SpecReader(try LoadProcedureTests.value(text), quick: nil), images: ["app"])
        }
        let procedure = try read(text)
        #expect(procedure.rate == 20 && procedure.before == 5_000_000_000 && procedure.isolations.count == 2)
        for (right, wrong) in [
            ("max: 3, ", ""), (", concurrency: 4", ""), ("concurrency", "concurency"), ("microvm", "process"),
            ("rate: 20", "rate: 0"), ("before: 5s", "before: 1s"), ("port: 80", "port: 0"),
        ] {
            let error = try #require(throws: SkalaError.self) { try read(text.replacing(right, with: wrong)) }
            #expect(error.message.contains("experiment.yaml:"), "\(wrong): \(error.message)")
        }
    }

    /// A service with one task, which answers 33 a second of 40, until a second task comes after 1.2 s.
    @Test func theResponseOfAServiceIsSeen() throws {
        func intervals(capacity: (Int) -> Double) -> [LoadInterval] {
            var waiting = 2.0
            return (0..<100).map { index in
                let due = index < 30 ? 2.0 : 4.0
                let done = min(due + max(0, waiting - 3), capacity(index))
                waiting += due - done
                var statistics = LoadStatistics()
                statistics.answered = UInt64(done)
                statistics.underWay = Int(waiting)
                var interval = LoadInterval(start: Int64(index) * ScaleUpResponse.interval, statistics)
                interval.p50 = Int64(waiting * 50_000_000)
                return interval
            }
        }
        let grown = ScaleUpResponse(
            intervals { $0 < 42 ? 3 : 6 }, rate: 20, doubledAt: 3_000_000_000)
        #expect(abs((grown.served ?? 0) - 1.2) < 0.05)
        #expect((grown.settled ?? 0) > 1.2 && (grown.settled ?? 9) < 3)
        let stuck = ScaleUpResponse(intervals { _ in 3 }, rate: 20, doubledAt: 3_000_000_000)
        #expect(stuck.served == nil && stuck.settled == nil)
        #expect(ScaleUpResponse([], rate: 20, doubledAt: 3_000_000_000).served == nil)
    }

    @Test(arguments: ["stress", "scaleup"], [false, true])
    func theExperimentsThatComeWithSkalaAreRead(name: String, quick: Bool) throws {
        let repository = #filePath.split(separator: "/").dropLast(3).map { "/" + $0 }.joined()
        let experiment = try Experiment(folder: "\(repository)/experiments/\(name)", quick: quick)
        #expect(!experiment.findings.isEmpty && !experiment.caveats.isEmpty)
    }
}
