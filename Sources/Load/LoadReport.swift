public import Base

/// The result of a load test.
public struct LoadReport: Sendable {
    public let plan: LoadPlan
    public let started: Timestamp
    /// Nanoseconds, from the begin to the last answer.
    public let elapsed: Int64
    /// The user ended it.
    public let wasStopped: Bool
    public let total: LoadStatistics
    public let intervals: [LoadInterval]

    /// Answers a second.
    public var rate: Double { elapsed > 0 ? Double(total.answered) * 1e9 / Double(elapsed) : 0 }

    /// The percentiles that are told.
    static let percentiles = [50.0, 75, 90, 95, 99, 99.9, 99.99]

    /// All of it: docs/load.md describes the members. Latencies are in milliseconds, times in seconds.
    public var json: JSON {
        [
            "version": 1, "urls": JSON(plan.targets.map(\.text)), "method": JSON(plan.method),
            "loop": plan.profile.quantity == .rate ? "open" : "closed", "keepAlive": JSON(plan.keepsAlive),
            "threads": JSON(Int64(plan.threads)), "started": JSON(started.text), "stopped": JSON(wasStopped),
            "elapsed": LoadReport.seconds(elapsed), "requests": JSON(Int64(clamping: total.requests)),
            "answered": JSON(Int64(clamping: total.answered)), "failed": JSON(Int64(clamping: total.failed)),
            "rate": LoadReport.rounded(rate), "failures": failures(LoadFailure.allCases.map { ($0, total[$0]) }),
            "statuses": .object(
                JSONObject(
                    total.statuses.sorted { $0.key < $1.key }.map { ("\($0.key)", JSON(Int64(clamping: $0.value))) })),
            "connections": JSON(Int64(clamping: total.connections)), "repeated": JSON(Int64(clamping: total.repeated)),
            "bytesReceived": JSON(Int64(clamping: total.bytesReceived)), "latency": latency, "histogram": histogram,
            "interval": LoadReport.seconds(plan.interval), "series": JSON(intervals.map(series)),
        ]
    }

    private var latency: JSON {
        let latency = total.latency
        guard latency.count > 0 else { return .null }
        var members: JSON = [
            "mean": LoadReport.rounded(latency.mean / 1e6),
            "standardDeviation": LoadReport.rounded(latency.standardDeviation / 1e6),
            "min": LoadReport.milliseconds(latency.minimum),
        ]
        for percent in LoadReport.percentiles {
            members["p" + LoadReport.text(percent)] = LoadReport.milliseconds(latency.percentile(percent))
        }
        members["max"] = LoadReport.milliseconds(latency.maximum)
        return members
    }

    /// Pairs of a bucket's longest latency and its count.
    private var histogram: JSON {
        JSON(
            total.latency.buckets.map {
                JSON([LoadReport.milliseconds($0.highest), JSON(Int64(clamping: $0.count))])
            })
    }

    private func series(_ interval: LoadInterval) -> JSON {
        [
            "time": LoadReport.seconds(interval.start),
            "wanted": LoadReport.rounded(plan.profile.value(at: interval.start)),
            "answered": JSON(Int64(clamping: interval.answered)), "failed": JSON(Int64(clamping: interval.failed)),
            "underWay": JSON(Int64(interval.underWay)), "mean": LoadReport.rounded(interval.mean / 1e6),
            "p50": LoadReport.milliseconds(interval.p50), "p95": LoadReport.milliseconds(interval.p95),
            "p99": LoadReport.milliseconds(interval.p99), "max": LoadReport.milliseconds(interval.maximum),
            "failures": failures(LoadFailure.allCases.map { ($0, interval.failures[$0] ?? 0) }),
        ]
    }

    private func failures(_ counts: [(LoadFailure, UInt64)]) -> JSON {
        .object(JSONObject(counts.filter { $0.1 > 0 }.map { ($0.0.name, JSON(Int64(clamping: $0.1))) }))
    }

    /// 99.9 as "99.9", 50 as "50".
    static func text(_ percent: Double) -> String {
        percent == percent.rounded() ? "\(Int(percent))" : "\(percent)"
    }

    private static func milliseconds(_ nanoseconds: Int64) -> JSON { rounded(Double(nanoseconds) / 1e6) }
    private static func seconds(_ nanoseconds: Int64) -> JSON { rounded(Double(nanoseconds) / 1e9) }
    /// Six decimals: a nanosecond of a millisecond.
    private static func rounded(_ value: Double) -> JSON { JSON((value * 1e6).rounded() / 1e6) }
}
