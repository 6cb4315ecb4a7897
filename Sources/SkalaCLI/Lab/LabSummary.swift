import Base
import Lab

/// What a run found, for a terminal.
enum LabSummary {
    static func text(_ results: RunResults) -> String {
        results.experiments.map { experiment in
            let cases = experiment.cases.filter { item in item.rows.contains { $0.trials > 0 } }
            guard !cases.isEmpty else { return "" }
            return "\(experiment.title): \(experiment.question)\n\n" + cases.map(text).joined(separator: "\n") + "\n"
        }.joined()
    }

    /// Two runs, a table for each case.
    static func text(_ comparison: RunComparison) -> String {
        func table(_ titles: [String], _ rows: [[String]]) -> String {
            var table = Table(titles)
            for row in rows { table.add(row) }
            return table.text + "\n"
        }
        var text = comparison.sentences.joined(separator: " ") + "\n\n" + table(["", "A", "B"], comparison.hostRows)
        for warning in comparison.warnings { text += warning + "\n" }
        if !comparison.warnings.isEmpty { text += "\n" }
        for experiment in comparison.experiments {
            text += experiment.title + "\n\n"
            for item in experiment.cases {
                let titles = [item.title.uppercased()] + RunComparison.titles.dropFirst().map { $0.uppercased() }
                text += table(titles, comparison.cells(item))
            }
        }
        for line in comparison.missing { text += line + "\n" }
        return text
    }

    private static func text(_ item: CaseResults) -> String {
        var table = Table(
            [item.title.uppercased()] + item.measures.flatMap { ["\($0.name) (\($0.unit))", "±", "ratio"] } + ["n", ""])
        for row in item.rows where row.trials > 0 {
            var cells = [row.condition.description]
            for measure in item.measures {
                guard let summary = row.summaries[measure.name] else {
                    cells += ["-", "", ""]
                    continue
                }
                cells.append(Decimal.significant(summary.median))
                cells.append(summary.precision.map { Decimal.text($0 * 100, 0) + " %" } ?? "")
                cells.append(ratio(row.comparisons[measure.name]))
            }
            cells.append("\(row.trials)")
            cells.append(row.failures.first.map(plain) ?? "")
            table.add(cells)
        }
        return table.text
    }

    /// The begin of what a program said, without what would move the cursor.
    private static func plain(_ text: String) -> String {
        String(text.prefix(70).map { $0.unicodeScalars.contains { $0.value < 0x20 || $0.value == 0x7F } ? " " : $0 })
    }

    /// `1.25`; in brackets where no difference is proved.
    private static func ratio(_ comparison: Comparison?) -> String {
        guard let comparison, let ratio = comparison.ratio else { return "" }
        let text = Decimal.text(ratio, 2)
        return comparison.isDifferent ? text : "(\(text))"
    }
}
