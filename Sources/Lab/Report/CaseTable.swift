import Base

/// A measure of a case as a table of text.
enum CaseTable {
    static func titles(_ item: CaseResults, _ measure: Measure) -> [String] {
        let base = item.base.value == "none" ? "alone" : item.base.value
        return ["", "\(measure.name) (\(measure.unit))", "95 % interval", "n", "against \(base)", "95 % interval"]
    }

    static func row(_ item: CaseResults, _ index: Int, _ measure: Measure, _ subject: ReportSubject) -> [String] {
        let row = item.rows[index]
        let name = subject.name(row.condition)
        guard let summary = row.summaries[measure.name] else {
            return [name, CaseFigures.absence(row), "", "\(row.trials)", "", ""]
        }
        let count = row.failed > 0 ? "\(summary.count) of \(row.trials)" : "\(summary.count)"
        let interval = summary.interval.map(text) ?? "–"
        guard let comparison = row.comparisons[measure.name] else {
            let isBase = item.base(of: index) == nil
            return [
                name, Decimal.significant(summary.median), interval, count, isBase ? "" : "nothing to compare with", "",
            ]
        }
        return [
            name, Decimal.significant(summary.median), interval, count, Change(comparison, measure).words,
            comparison.interval.map(Change.text) ?? "",
        ]
    }

    /// Failures and remarks of a case's trials, each with the condition it belongs to.
    static func notes(_ item: CaseResults, _ subject: ReportSubject) -> [String] {
        var notes: [String] = []
        for row in item.rows {
            let name = subject.name(row.condition)
            for failure in row.failures {
                notes.append("\(name), \(row.failed) of \(row.trials) trials: \(shortened(failure))")
            }
            for remark in row.remarks { notes.append("\(name): \(shortened(remark))") }
        }
        return notes
    }

    /// A program's output may be long.
    static func shortened(_ text: String) -> String {
        let line = text.split(whereSeparator: \.isNewline).map { String($0).trimmed }.joined(separator: " ")
        return line.count > 240 ? line.prefix(240) + "…" : line
    }

    static func text(_ interval: ClosedRange<Double>) -> String {
        Decimal.significant(interval.lowerBound) + " to " + Decimal.significant(interval.upperBound)
    }
}
