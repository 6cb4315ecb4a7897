import Base

/// All changes of an experiment at a glance: what is compared goes down, the conditions it is compared under go across.
struct ExperimentMatrix {
    struct Cell {
        let text: String
        /// The difference is proved, and for the worse; or nothing could be measured.
        let isStrong: Bool
        let isWeak: Bool
    }

    let titles: [String]
    private(set) var rows: [(name: String, cells: [Cell])] = []

    /// Nil where it would say no more than a figure.
    init?(_ experiment: ExperimentResults, _ subject: ReportSubject) {
        let cases = experiment.cases.filter { item in
            item.rows.contains { $0.trials > 0 } && item.rows.contains { $0.condition.factors.count > 1 }
        }
        var columns: [String] = []
        for item in cases {
            for index in item.rows.indices where item.base(of: index) != nil {
                let column = ExperimentMatrix.column(item.rows[index].condition, item, subject)
                if !columns.contains(column) { columns.append(column) }
            }
        }
        guard columns.count > 1 else { return nil }
        titles = [""] + columns
        for item in cases {
            for measure in item.measures where measure.better != .neither {
                for value in item.values(of: item.base.name) where value != item.base.value {
                    let name = item.measures.count > 1 ? "\(item.title), \(measure.name)" : item.title
                    let cells = columns.map { column in
                        let index = item.rows.indices.first { index in
                            item.rows[index].condition[item.base.name] == value
                                && ExperimentMatrix.column(item.rows[index].condition, item, subject) == column
                        }
                        return index.map { ExperimentMatrix.cell(item.rows[$0], measure) }
                            ?? Cell(text: "", isStrong: false, isWeak: true)
                    }
                    let other = Condition([(item.base.name, value)])
                    rows.append(("\(name): \(subject.name(other))", cells))
                }
            }
        }
    }

    /// What a condition is compared under. Where isolations are compared, the rows tell which are emulated.
    private static func column(_ condition: Condition, _ item: CaseResults, _ subject: ReportSubject) -> String {
        let factors = condition.factors.filter { $0.name != item.base.name }
        return subject.name(Condition(factors.map { ($0.name, $0.value) }))
    }

    private static func cell(_ row: CaseResults.Row, _ measure: Measure) -> Cell {
        guard let comparison = row.comparisons[measure.name] else {
            let text = row.summaries[measure.name] == nil ? CaseFigures.absence(row) : ""
            return Cell(text: text, isStrong: row.hasFailed, isWeak: !row.hasFailed)
        }
        let change = Change(comparison, measure)
        return Cell(
            text: comparison.isDifferent ? change.text : "(\(change.text))", isStrong: change.verdict == .worse,
            isWeak: !comparison.isDifferent)
    }
}
