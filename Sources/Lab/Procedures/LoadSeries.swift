import Base
import Load

/// What a load of some length found: its measures, and how it went over time.
enum LoadSeries {
    static let measures = [
        Measure("requests", unit: "", better: .higher), Measure("rate", unit: "requests/s", better: .higher),
        Measure("p50", unit: "ms", better: .lower), Measure("p99", unit: "ms", better: .lower),
        Measure("failures", unit: "%", better: .lower),
    ]

    /// A hundred points, none of them shorter than a tenth of a second.
    static func interval(_ duration: Int64) -> Int64 { max(100_000_000, duration / 100) }

    /// Requests are those that were answered well within the duration; latencies and failures are those of all that were due in it.
    static func trial(_ report: LoadReport, duration: Int64) -> Trial {
        guard report.total.answered > 0 else {
            return Trial(failure: "not one request was answered" + failures(report.total))
        }
        let within = report.intervals.filter { $0.start < duration }
        let good = within.reduce(0.0) { $0 + succeeded($1) }
        let latency = report.total.latency
        var trial = Trial(values: [
            "requests": good, "rate": good * 1e9 / Double(duration),
            "p50": RequestLoad.milliseconds(latency.percentile(50)),
            "p99": RequestLoad.milliseconds(latency.percentile(99)),
            "failures": 100 * Double(report.total.failed) / Double(max(1, report.total.requests)),
        ])
        trial.series = series(within, report.plan)
        if report.total.failed > 0 { trial.remarks.append("failed:" + failures(report.total)) }
        return trial
    }

    /// `time` in seconds, `answered` a second, `p50` and `p99` in milliseconds (0 where nothing was answered), `users` at that time: in
    /// an open loop those who wait.
    static func series(_ intervals: [LoadInterval], _ plan: LoadPlan) -> [String: [Double]] {
        let isOpen = plan.profile.quantity == .rate
        var series: [String: [Double]] = [
            "time": intervals.map { Double($0.start) / 1e9 },
            "answered": intervals.map { succeeded($0) * 1e9 / Double(plan.interval) },
            "p50": intervals.map { RequestLoad.milliseconds($0.p50) },
            "p99": intervals.map { RequestLoad.milliseconds($0.p99) },
            "users": intervals.map { isOpen ? Double($0.underWay) : plan.profile.value(at: $0.start) },
        ]
        if isOpen { series["wanted"] = intervals.map { plan.profile.value(at: $0.start) } }
        return series
    }

    /// Answers with a status that is no failure.
    static func succeeded(_ interval: LoadInterval) -> Double {
        Double(interval.answered) - Double(interval.failures[.status] ?? 0)
    }

    private static func failures(_ total: LoadStatistics) -> String {
        LoadFailure.allCases.filter { total[$0] > 0 }.map { " \(total[$0]) \($0.name)" }.joined(separator: ",")
    }
}
