import Base
import Client
import Kernel
import Load
import YAML

/// How long an application does not answer while it is stopped and started elsewhere, or goes on from a snapshot.
struct MoveProcedure: Procedure {
    static let keys: Set<String> = Application.keys.union(["isolations", "ways"])

    enum Way: String, CaseIterable {
        /// Stopped, and started again: what was in memory is lost.
        case restart
        /// Kept as it is by a snapshot, ended, and brought back from it: memory included where it has one of its own.
        case snapshot
    }

    let application: Application
    let isolations: [LabIsolation]
    let ways: [Way]
    private let measures = [
        Measure("downtime", unit: "s", better: .lower), Measure("total", unit: "s", better: .lower),
    ]
    /// Requests a second that look whether it answers.
    private static let rate = 200.0
    private static let interval: Int64 = 10_000_000

    init(_ spec: SpecReader, images: Set<String>) throws(SkalaError) {
        application = try Application(spec, images: images)
        isolations = try spec.required("isolations").words(LabIsolation.self)
        ways = try spec.required("ways").words(Way.self)
        if isolations.contains(.process) {
            throw try spec.required("isolations").fault("container, pod, microvm and machine can be moved")
        }
    }

    func obstacles(_ scope: Scope) -> [String] { [] }

    func cases(_ scope: Scope) -> [Case] {
        var conditions: [Condition] = []
        for isolation in isolations where scope.isolations.contains(isolation) {
            for way in ways {
                conditions.append(Condition([("isolation", isolation.rawValue), ("way", way.rawValue)]))
            }
        }
        return [
            Case(
                "move", title: "Stopping here, going on there", conditions: conditions, measures: measures,
                base: ("way", ways[0].rawValue), expected: 4_000_000_000)
        ]
    }

    func trial(_ condition: Condition, of name: String, in bench: Bench) throws -> Trial {
        guard let isolation = condition["isolation"].flatMap(LabIsolation.init),
            let way = condition["way"].flatMap(Way.init)
        else { throw SkalaError(.invalid, "no such condition: \(condition)") }
        let deadline = bench.deadline(90_000_000_000)
        let instance = try bench.instance(application.instance, isolation: isolation)
        defer { instance.remove() }
        guard let instance = instance as? any Movable,
            try FirstAnswer.wait(for: instance.address, port: application.port, until: deadline)
        else { return Trial(failure: "did not answer within 90 s") }
        let watch = try Watch(address: instance.address, port: application.port)
        defer { watch.stop() }
        try deadline.pause(300_000_000)
        let started = SystemClock.monotonicNanoseconds()
        switch way {
        case .restart: try instance.restart()
        case .snapshot: try instance.snapshotAndRestore()
        }
        guard try FirstAnswer.wait(for: instance.address, port: application.port, until: deadline) else {
            return Trial(failure: "did not answer within 90 s afterwards: \(instance.log())")
        }
        let total = SystemClock.monotonicNanoseconds() - started
        try deadline.pause(300_000_000)
        return Trial(values: [
            "downtime": try watch.longestSilence(until: deadline), "total": Double(total) / 1e9,
        ])
    }

    /// Asks all the time whether it answers.
    private final class Watch {
        private let run: LoadRun

        init(address: String, port: Int) throws {
            var plan = LoadPlan(
                targets: [try LoadTarget(parsing: "http://\(address):\(port)/")],
                profile: LoadProfile(.rate, constant: MoveProcedure.rate, duration: 120_000_000_000))
            plan.interval = MoveProcedure.interval
            plan.keepsAlive = false
            plan.timeout = 1_000_000_000
            run = try LoadRun(plan)
        }

        func stop() { run.stop() }

        /// Seconds of the longest time without an answer, between two with some.
        func longestSilence(until deadline: Deadline) throws -> Double {
            run.stop()
            _ = try deadline.wait { run.hasEnded }
            var (longest, silent) = (0, 0)
            var hasAnswered = false
            for interval in try run.report().intervals {
                if interval.answered > 0 {
                    if hasAnswered { longest = max(longest, silent) }
                    hasAnswered = true
                    silent = 0
                } else {
                    silent += 1
                }
            }
            return Double(longest) * Double(MoveProcedure.interval) / 1e9
        }
    }
}
