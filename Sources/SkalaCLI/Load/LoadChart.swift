import Base
import Load

/// What is shown while a load goes on: answers a second, latency and failures, one column for each interval.
enum LoadChart {
    static func text(_ run: LoadRun, columns: Int, _ output: Output) -> String {
        let plan = run.plan
        let intervals = run.intervals
        let perSecond = 1e9 / Double(plan.interval)
        let width = max(10, columns - 12)
        let isOpen = plan.profile.quantity == .rate
        let wanted = Decimal.text(plan.profile.value(at: min(run.elapsed, plan.profile.duration - 1)), 0)
        var text = output.paint(plan.targets.map(\.text).joined(separator: " "), .bold) + "\n"
        text += "\(LoadSummary.seconds(run.elapsed)) of \(LoadSummary.seconds(plan.profile.duration)), "
        text += isOpen ? "\(wanted) requests a second wanted, " : "\(wanted) users, "
        text += "\(run.total.requests) requests, failures: \(LoadSummary.failures(run.total))\n\n"
        text += panel(
            "answers a second", intervals.map { Double($0.answered) * perSecond }, width, 7, output, .green
        ) { Decimal.text($0, 0) }
        text += panel("latency, 99 %", intervals.map { Double($0.p99) }, width, 7, output, .cyan) {
            LoadSummary.time(Int64($0))
        }
        text += panel("failures a second", intervals.map { Double($0.failed) * perSecond }, width, 3, output, .red) {
            Decimal.text($0, 0)
        }
        return text + "\nCtrl-C ends it with the summary\n"
    }

    private static func panel(
        _ title: String, _ values: [Double], _ width: Int, _ height: Int, _ output: Output, _ color: Output.Color,
        label: (Double) -> String
    ) -> String {
        let shown = Array(values.suffix(width))
        let highest = shown.max() ?? 0
        var text = "\(title): \(shown.last.map(label) ?? "-")\n"
        for (index, row) in bars(shown, height: height).enumerated() {
            let mark = index == 0 ? label(highest) : index == height - 1 ? "0" : ""
            let padding = String(repeating: " ", count: max(0, 9 - mark.count))
            text += padding + mark + " ┤" + output.paint(row, color) + "\n"
        }
        return text
    }

    /// Columns of eighths of a character, the highest value as high as the whole; a value above zero shows.
    static func bars(_ values: [Double], height: Int) -> [String] {
        let blocks = Array(" ▁▂▃▄▅▆▇█")
        let highest = max(values.max() ?? 0, .leastNonzeroMagnitude)
        let eighths = values.map { value -> Int in
            guard value > 0, value.isFinite else { return 0 }
            return max(1, Int((value / highest * Double(height * 8)).rounded()))
        }
        return (0..<height).map { row in
            let floor = (height - 1 - row) * 8
            return String(eighths.map { blocks[min(8, max(0, $0 - floor))] })
        }
    }
}
