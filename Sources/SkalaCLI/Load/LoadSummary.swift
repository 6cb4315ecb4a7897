import Base
import Load

/// What is printed at the end of a load.
enum LoadSummary {
    static func text(_ report: LoadReport) -> String {
        let total = report.total
        var lines = Table([
            "requests", "\(total.requests) in \(seconds(report.elapsed))\(report.wasStopped ? ", stopped" : "")",
        ])
        let bytes = report.elapsed > 0 ? Double(total.bytesReceived) * 1e9 / Double(report.elapsed) : 0
        lines.add(["answers", "\(total.answered), \(Decimal.text(report.rate, 1)) a second, \(size(bytes))/s"])
        lines.add(["failures", failures(total)])
        let statuses = total.statuses.sorted { $0.key < $1.key }.map { "\($0.key): \($0.value)" }
        lines.add(["statuses", statuses.isEmpty ? "none" : statuses.joined(separator: ", ")])
        let repeated = total.repeated > 0 ? ", \(total.repeated) requests sent again" : ""
        lines.add(["connections", "\(total.connections)\(repeated)"])
        let text = heading(report) + "\n\n" + lines.text
        guard total.latency.count > 0 else { return text }
        return text + "\n" + percentiles(total.latency)
    }

    private static func heading(_ report: LoadReport) -> String {
        let plan = report.plan
        let urls = plan.targets.count == 1 ? plan.targets[0].text : "\(plan.targets.count) URLs"
        return "\(plan.method) \(urls)"
    }

    /// Such as `3 (0.01 %): 2 reset, 1 timeout`.
    static func failures(_ total: LoadStatistics) -> String {
        guard total.failed > 0 else { return "0" }
        let share = Decimal.text(100 * Double(total.failed) / Double(max(1, total.requests)), 2)
        let kinds = LoadFailure.allCases.filter { total[$0] > 0 }.sorted { total[$0] > total[$1] }
        return "\(total.failed) (\(share) %): " + kinds.map { "\(total[$0]) \($0.name)" }.joined(separator: ", ")
    }

    private static func percentiles(_ latency: Histogram) -> String {
        var table = Table(["LATENCY", "TIME", ""])
        let longest = max(1, Double(latency.percentile(99.99)))
        func add(_ name: String, _ value: Int64) {
            let bar = String(repeating: "█", count: Int((min(1, Double(value) / longest) * 40).rounded()))
            table.add([name, time(value), bar])
        }
        table.add(["mean", time(Int64(latency.mean)), ""])
        add("min", latency.minimum)
        for percent in [50.0, 75, 90, 95, 99, 99.9, 99.99] {
            add(percent == percent.rounded() ? "\(Int(percent))%" : "\(percent)%", latency.percentile(percent))
        }
        table.add(["max", time(latency.maximum), ""])
        return table.text
    }

    /// Three digits and a unit: `1.23 ms`.
    static func time(_ nanoseconds: Int64) -> String {
        let value = Double(nanoseconds)
        let (scaled, unit) =
            value < 1e3
            ? (value, "ns") : value < 1e6 ? (value / 1e3, "µs") : value < 1e9 ? (value / 1e6, "ms") : (value / 1e9, "s")
        return Decimal.text(scaled, scaled < 10 ? 2 : scaled < 100 ? 1 : 0) + " " + unit
    }

    static func seconds(_ nanoseconds: Int64) -> String { Decimal.text(Double(nanoseconds) / 1e9, 1) + " s" }
    private static func size(_ bytes: Double) -> String { ByteSize.decimal(Int64(bytes), digits: 3) }
}
