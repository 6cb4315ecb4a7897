import Base
import Kernel
import Load
import YAML

/// A service that scales by itself; its load doubles, and the time counts until it serves that.
struct ScaleUpProcedure: Procedure {
    static let keys: Set<String> = ["isolations", "service", "rate", "before", "limit", "start"]

    let isolations: [LabIsolation]
    private let image: String
    private let path: String
    /// With the experiment's name of the image.
    private let service: LabService.Spec
    /// Requests a second, at first.
    let rate: Double
    /// Nanoseconds until they double.
    let before: Int64
    /// Nanoseconds after that in which the service must serve them.
    let limit: Int64
    /// Nanoseconds in which its first task must answer.
    let start: Int64

    private static let serviceKeys: Set<String> = [
        "image", "program", "port", "path", "environment", "cpus", "memory", "autoscale",
    ]
    private static let signals = ["cpu", "memory", "pressure", "requests-per-second", "concurrency", "latency-p95"]

    init(_ spec: SpecReader, images: Set<String>) throws(SkalaError) {
        isolations = try spec.required("isolations").words(LabIsolation.self)
        if let wrong = isolations.first(where: { ![.container, .microvm].contains($0) }) {
            throw try spec.required("isolations").fault("tasks of a service are no \(wrong.rawValue)s here")
        }
        let value = try spec.required("service")
        try value.allowOnly(ScaleUpProcedure.serviceKeys)
        let own = SpecReader(value, quick: nil)
        image = try own.image(images)
        path = try own["path"]?.string() ?? "/"
        guard path.hasPrefix("/") else { throw value.fault("a path begins with /") }
        service = LabService.Spec(
            image: image, program: try own.required("program").string(),
            port: Int(try own.required("port").integer(1...65535)),
            environment: try ApplicationSpec.environment(own, above: []).map { "\($0.key)=\($0.value)" },
            processors: try own["cpus"]?.number() ?? 1, memory: try own["memory"]?.bytes() ?? 256 << 20,
            autoscale: try ScaleUpProcedure.autoscale(try own.required("autoscale")))
        let requests = try spec.required("rate")
        rate = try requests.number()
        guard rate > 0, rate <= 1e5 else { throw requests.fault("requests a second are expected") }
        before = try spec["before"]?.positiveDuration() ?? 5_000_000_000
        limit = try spec["limit"]?.positiveDuration() ?? 120_000_000_000
        start = try spec["start"]?.positiveDuration() ?? 120_000_000_000
        guard before >= 2_000_000_000 else {
            throw try spec.required("before").fault("two seconds are needed to know how it was before")
        }
    }

    private static func autoscale(_ value: YAMLValue) throws(SkalaError) -> [(key: String, value: String)] {
        try value.allowOnly(Set(signals + ["min", "max", "scale-down-after"]))
        var labels: [(key: String, value: String)] = []
        for (key, entry) in try value.entries() { labels.append((key, try entry.string())) }
        guard labels.contains(where: { $0.key == "max" }) else { throw value.fault("the key 'max' is missing") }
        guard labels.contains(where: { signals.contains($0.key) }) else {
            throw value.fault("one of \(signals.joined(separator: ", ")) is expected")
        }
        return labels
    }

    static let measures = [
        Measure("decision", unit: "s", better: .lower), Measure("ready", unit: "s", better: .lower),
        Measure("served", unit: "s", better: .lower), Measure("settled", unit: "s", better: .lower),
        Measure("failures", unit: "%", better: .lower),
    ]

    func cases(_ scope: Scope) -> [Case] {
        let possible = isolations.filter(scope.isolations.contains)
        guard let first = possible.first, HostProgram.find("haproxy") != nil else { return [] }
        return [
            Case(
                "scale-up", title: "The load doubles",
                conditions: possible.map { Condition([("isolation", $0.rawValue)]) },
                measures: ScaleUpProcedure.measures, base: ("isolation", first.rawValue),
                expected: before + 12_000_000_000)
        ]
    }

    func obstacles(_ scope: Scope) -> [String] {
        HostProgram.find("haproxy") == nil
            ? ["requests to services are balanced by haproxy, which is not installed"] : []
    }

    func trial(_ condition: Condition, of name: String, in bench: Bench) throws -> Trial {
        guard let isolation = condition["isolation"].flatMap(LabIsolation.init), let image = bench.images[image] else {
            throw SkalaError(.invalid, "no service under \(condition)")
        }
        var spec = service
        spec.image = image.reference
        let service = try LabService(spec, isolation: isolation, run: bench.run, client: bench.client)
        defer { service.remove() }
        let url = "http://127.0.0.1:\(service.port)\(path)"
        let starting = bench.deadline(start)
        guard try starting.wait(every: 100_000_000, { try answers(url, bench) }) else {
            return Trial(
                failure: "no task answered in \(start / 1_000_000_000) s: \(try service.explanation()["Notes"].text)")
        }
        return try measure(service, url, bench)
    }

    /// Whether one request is answered well.
    private func answers(_ url: String, _ bench: Bench) throws -> Bool {
        var plan = LoadPlan(
            targets: [try LoadTarget(parsing: url)],
            profile: LoadProfile(.concurrency, constant: 1, duration: 5_000_000_000))
        plan.requestLimit = 1
        plan.timeout = 5_000_000_000
        let report = try RequestLoad.report(plan, until: bench.deadline(10_000_000_000))
        return report.total.answered == 1 && report.total.failed == 0
    }

    private func measure(_ service: LabService, _ url: String, _ bench: Bench) throws -> Trial {
        let profile = LoadProfile(.rate, stages: [(0, rate), (before, rate), (0, rate * 2), (limit, rate * 2)])
        var plan = LoadPlan(targets: [try LoadTarget(parsing: url)], profile: profile)
        plan.interval = ScaleUpResponse.interval
        plan.timeout = 30_000_000_000
        let load = try LoadRun(plan)
        defer { load.stop() }
        let deadline = bench.deadline(before + limit + plan.timeout + 5_000_000_000)
        var response = ScaleUpResponse([], rate: rate, doubledAt: before)
        // Until it is as it was, and a moment beyond.
        let hasEnded = try deadline.wait(every: 100_000_000) {
            response = ScaleUpResponse(load.intervals, rate: rate, doubledAt: before)
            return response.settled != nil || load.hasEnded || load.elapsed > before + limit
        }
        if hasEnded, response.settled != nil { try deadline.pause(1_000_000_000) }
        load.stop()
        _ = try deadline.wait(every: 5_000_000) { load.hasEnded }
        let report = try load.report()
        response = ScaleUpResponse(report.intervals, rate: rate, doubledAt: before)
        return trial(report, response, try service.decisions())
    }

    private func trial(
        _ report: LoadReport, _ response: ScaleUpResponse, _ decisions: [(time: Timestamp, text: String)]
    ) -> Trial {
        var trial = Trial()
        trial.series = LoadSeries.series(report.intervals, report.plan)
        let doubled = report.started.nanoseconds + before
        /// Seconds from the doubling to the first decision of a kind.
        func first(_ prefix: String, _ isIt: (Int) -> Bool = { _ in true }) -> Double? {
            decisions.first { decision in
                guard decision.time.nanoseconds > report.started.nanoseconds, decision.text.hasPrefix(prefix) else {
                    return false
                }
                return Int(decision.text.dropFirst(prefix.count).prefix { $0.isNumber }).map(isIt) ?? false
            }.map { Double($0.time.nanoseconds - doubled) / 1e9 }
        }
        let tasks = Int(service.autoscale.first { $0.key == "min" }?.value ?? "1") ?? 1
        let decision = first("autoscaler: ")
        if let decision, decision < 0 {
            trial.failure = "the service grew \(-decision) s before its load doubled: the rate is too much for one task"
            return trial
        }
        trial.values["decision"] = decision
        trial.values["ready"] = first("serving: ") { $0 > tasks }
        trial.values["failures"] = 100 * Double(report.total.failed) / Double(max(1, report.total.requests))
        guard let served = response.served else {
            trial.failure = "it did not serve the doubled load within \(limit / 1_000_000_000) s"
            return trial
        }
        trial.values["served"] = served
        trial.values["settled"] = response.settled
        if decision == nil { trial.remarks.append("it served the doubled load without another task") }
        return trial
    }
}
