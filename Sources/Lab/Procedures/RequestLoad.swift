import Base
import Kernel
import Load
import YAML

/// HTTP requests to an instance, by the load generator of `skala load`.
struct RequestLoad: Sendable {
    let path: String
    let port: Int
    /// Users of a closed loop; nil in an open one.
    let users: Double?
    /// Requests a second of an open loop.
    let rate: Double?

    static let measures = [
        Measure("rate", unit: "requests/s", better: .higher), Measure("p50", unit: "ms", better: .lower),
        Measure("p99", unit: "ms", better: .lower),
    ]

    init(_ value: YAMLValue) throws(SkalaError) {
        try value.allowOnly(["path", "port", "users", "rate"])
        path = try value["path"]?.string() ?? "/"
        port = Int(try value["port"]?.integer(1...65535) ?? 80)
        users = try value["users"]?.number()
        rate = try value["rate"]?.number()
        guard (users == nil) != (rate == nil) else { throw value.fault("either 'users' or 'rate' is expected") }
    }

    func url(_ address: String) -> String { "http://\(address):\(port)\(path)" }

    /// The load on an instance at an address, for so many nanoseconds.
    func run(_ address: String, duration: Int64, until deadline: Deadline) throws -> Trial {
        let profile = LoadProfile(
            rate != nil ? .rate : .concurrency, constant: rate ?? users ?? 1, duration: duration)
        return try RequestLoad.run(url(address), profile, until: deadline)
    }

    /// - Throws: when not one request was answered.
    static func run(_ url: String, _ profile: LoadProfile, until deadline: Deadline) throws -> Trial {
        let report = try report(url, profile, until: deadline)
        guard report.total.answered > 0 else { return Trial(failure: "not one request was answered") }
        var trial = Trial(values: [
            "rate": report.rate, "p50": milliseconds(report.total.latency.percentile(50)),
            "p99": milliseconds(report.total.latency.percentile(99)),
        ])
        if report.total.failed > 0 {
            trial.remarks.append("\(report.total.failed) of \(report.total.requests) requests failed")
        }
        return trial
    }

    static func report(_ url: String, _ profile: LoadProfile, until deadline: Deadline) throws -> LoadReport {
        let run = try LoadRun(LoadPlan(targets: [try LoadTarget(parsing: url)], profile: profile))
        do { _ = try deadline.wait(every: 20_000_000) { run.hasEnded } } catch {
            run.stop()
            throw error
        }
        run.stop()
        _ = try deadline.wait(every: 5_000_000) { run.hasEnded }
        return try run.report()
    }

    static func milliseconds(_ nanoseconds: Int64) -> Double { Double(nanoseconds) / 1e6 }
}
