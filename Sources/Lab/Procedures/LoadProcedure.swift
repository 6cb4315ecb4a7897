import Base
import Kernel
import Load
import YAML

/// An application of several instances under load: users who wait for their answers and become more (closed loop), and visitors who
/// come at a constant rate (open loop).
struct LoadProcedure: Procedure {
    static let keys: Set<String> = [
        "isolations", "duration", "timeout", "start", "closed", "open", "instances", "target",
    ]
    static let takesPeers = true

    /// One kind of load.
    struct Loop: Sendable, Hashable {
        /// As the condition calls it.
        let name: String
        let profile: LoadProfile
    }

    let isolations: [LabIsolation]
    let application: ApplicationSpec
    let loops: [Loop]
    /// Nanoseconds of load.
    let duration: Int64
    /// Nanoseconds after which a request is given up.
    let timeout: Int64
    /// Nanoseconds in which the application must be ready.
    let start: Int64
    private let target: (instance: String, port: Int, path: String)

    init(_ spec: SpecReader, images: Set<String>) throws(SkalaError) {
        isolations = try spec.required("isolations").words(LabIsolation.self)
        let root = SpecReader(spec.root, quick: nil)
        application = try ApplicationSpec(
            try root.required("instances"), quick: spec.quick?["instances"], images: images)
        let written = try root.required("duration").positiveDuration()
        duration = max(
            1_000_000_000, Int64(Double(try spec["duration"]?.positiveDuration() ?? written) * spec.scale))
        timeout = try spec["timeout"]?.positiveDuration() ?? 10_000_000_000
        start = try spec["start"]?.positiveDuration() ?? 180_000_000_000
        target = try LoadProcedure.target(try spec.required("target"), application)
        var loops: [Loop] = []
        if let closed = spec["closed"] { loops.append(try LoadProcedure.closed(closed, duration, written: written)) }
        if let open = spec["open"] { loops += try LoadProcedure.open(open, duration) }
        guard !loops.isEmpty else { throw spec.root.fault("one of 'closed' and 'open' is expected") }
        self.loops = loops
    }

    private static func target(
        _ value: YAMLValue, _ application: ApplicationSpec
    ) throws(SkalaError) -> (instance: String, port: Int, path: String) {
        try value.allowOnly(["instance", "port", "path"])
        let spec = SpecReader(value, quick: nil)
        let instance = try spec.required("instance")
        let name = try instance.string()
        guard application.members.contains(where: { $0.name == name }) else {
            throw instance.fault("no such instance stands under 'instances'")
        }
        let path = try spec["path"]?.string() ?? "/"
        guard path.hasPrefix("/") else { throw value.fault("a path begins with /") }
        return (name, Int(try spec.required("port").integer(1...65535)), path)
    }

    /// Users from one on, to all of them when `rise` of the written duration is over: in proportion in a shorter one.
    private static func closed(_ value: YAMLValue, _ duration: Int64, written: Int64) throws(SkalaError) -> Loop {
        try value.allowOnly(["users", "rise"])
        let users = try SpecReader(value, quick: nil).required("users")
        let count = Double(try users.integer(1...100_000))
        guard let rise = value["rise"] else {
            return Loop(name: "closed", profile: LoadProfile(.concurrency, constant: count, duration: duration))
        }
        let length = try rise.positiveDuration()
        guard length <= written else { throw rise.fault("it takes longer than the load") }
        let rising = Int64(Double(duration) * Double(length) / Double(written))
        return Loop(
            name: "closed",
            profile: LoadProfile(.concurrency, stages: [(rising, count), (duration - rising, count)]))
    }

    private static func open(_ value: YAMLValue, _ duration: Int64) throws(SkalaError) -> [Loop] {
        try value.allowOnly(["rates"])
        let rates = try SpecReader(value, quick: nil).required("rates")
        var loops: [Loop] = []
        for element in rates.isList ? try rates.elements() : [rates] {
            let rate = try element.number()
            guard rate > 0, rate <= 1e6 else { throw element.fault("requests a second are expected") }
            let loop = Loop(
                name: "open \(try element.string())/s", profile: LoadProfile(.rate, constant: rate, duration: duration))
            guard !loops.contains(loop) else { throw element.fault("it stands there twice") }
            loops.append(loop)
        }
        return loops
    }

    func cases(_ scope: Scope) -> [Case] {
        let possible = scope.runners(isolations)
        guard let first = possible.first, application.memory <= scope.memory else { return [] }
        let conditions = loops.flatMap { loop in
            possible.map { Condition([("loop", loop.name), ("isolation", $0.name)]) }
        }
        return [
            Case(
                "load", title: "Load on \(target.instance)", conditions: conditions, measures: LoadSeries.measures,
                base: ("isolation", first.name), expected: duration + 10_000_000_000)
        ]
    }

    func obstacles(_ scope: Scope) -> [String] {
        var obstacles: [String] = []
        if application.memory > scope.memory {
            obstacles.append("its instances need \(application.memory >> 20) MiB, more than this host has")
        }
        return obstacles
    }

    func trial(_ condition: Condition, of name: String, in bench: Bench) throws -> Trial {
        guard let runner = condition.runner, let loop = loops.first(where: { $0.name == condition["loop"] })
        else { throw SkalaError(.invalid, "no load under \(condition)") }
        let running = try RunningApplication(application, by: runner, in: bench, until: bench.deadline(start))
        defer { running.remove() }
        if let failure = running.failure { return Trial(failure: failure) }
        guard let address = running.address(of: target.instance), !address.isEmpty else {
            throw SkalaError(.system, "\(target.instance) has no address")
        }
        var plan = LoadPlan(
            targets: [try LoadTarget(parsing: "http://\(address):\(target.port)\(target.path)")], profile: loop.profile)
        plan.timeout = timeout
        plan.interval = LoadSeries.interval(duration)
        // What was asked for before the end may be answered after it, until it is given up.
        let deadline = bench.deadline(duration + timeout + 10_000_000_000)
        let report = try RequestLoad.report(plan, until: deadline)
        var trial = LoadSeries.trial(report, duration: duration)
        trial.remarks += try running.ended()
        return trial
    }
}
