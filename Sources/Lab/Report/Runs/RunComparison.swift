import Base

/// Two runs side by side: two machines, or two versions.
///
/// What both measured is compared by Welch's test on logarithms, with Holm's correction for all comparisons of an experiment. Since runs
/// at different times differ by what the host did meanwhile, a difference below 5 % is never called one.
public struct RunComparison: Sendable {
    public struct Row: Sendable {
        public let condition: Condition
        public let measure: Measure
        /// Nil without values.
        public let first: Summary?
        public let second: Summary?
        /// Why there are none.
        let absences: (first: String, second: String)
        /// The second in relation to the first; nil where one has no values.
        public internal(set) var comparison: Comparison?
    }

    public struct CaseRows: Sendable {
        public let title: String
        public internal(set) var rows: [Row]
    }

    public struct ExperimentRows: Sendable {
        public let title: String
        public internal(set) var cases: [CaseRows]

        var rows: [Row] { cases.flatMap(\.rows) }
    }

    public static let smallestEffect = 0.05

    public let first: RunResults
    public let second: RunResults
    public private(set) var experiments: [ExperimentRows] = []
    /// Experiments and cases that only one of them measured.
    public private(set) var missing: [String] = []

    public init(_ first: RunResults, _ second: RunResults) {
        self.first = first
        self.second = second
        for experiment in first.experiments {
            guard let other = second[experiment.name] else {
                missing.append("\(experiment.title): only in A")
                continue
            }
            var cases: [CaseRows] = []
            for item in experiment.cases {
                guard let twin = other.cases.first(where: { $0.name == item.name }) else {
                    missing.append("\(experiment.title), \(item.title): only in A")
                    continue
                }
                let rows = RunComparison.rows(item, twin)
                if !rows.isEmpty { cases.append(CaseRows(title: item.title, rows: rows)) }
            }
            for item in other.cases where !experiment.cases.contains(where: { $0.name == item.name }) {
                missing.append("\(experiment.title), \(item.title): only in B")
            }
            if !cases.isEmpty { experiments.append(decided(ExperimentRows(title: experiment.title, cases: cases))) }
        }
        for experiment in second.experiments where first[experiment.name] == nil {
            missing.append("\(experiment.title): only in B")
        }
    }

    private static func rows(_ item: CaseResults, _ twin: CaseResults) -> [Row] {
        var rows: [Row] = []
        for row in item.rows {
            guard let other = twin.rows.first(where: { $0.condition == row.condition }), row.trials + other.trials > 0
            else { continue }
            for measure in item.measures where twin.measures.contains(where: { $0.name == measure.name }) {
                let values = row.samples.compactMap { $0.trial.values[measure.name] }
                let others = other.samples.compactMap { $0.trial.values[measure.name] }
                rows.append(
                    Row(
                        condition: row.condition, measure: measure, first: row.summaries[measure.name],
                        second: other.summaries[measure.name],
                        absences: (CaseFigures.absence(row), CaseFigures.absence(other)),
                        comparison: values.isEmpty || others.isEmpty ? nil : Comparison.unpaired(values, others)))
            }
        }
        return rows
    }

    private func decided(_ experiment: ExperimentRows) -> ExperimentRows {
        var experiment = experiment
        var family = experiment.rows.compactMap(\.comparison)
        Comparison.decide(&family, smallest: RunComparison.smallestEffect)
        var place = 0
        for item in experiment.cases.indices {
            for row in experiment.cases[item].rows.indices where experiment.cases[item].rows[row].comparison != nil {
                experiment.cases[item].rows[row].comparison = family[place]
                place += 1
            }
        }
        return experiment
    }

    /// All that both have values of.
    private var compared: [Row] { experiments.flatMap(\.rows).filter { $0.comparison != nil } }

    public var differences: Int { compared.count { $0.comparison?.isDifferent == true } }

    /// What there is to say before all tables.
    public var sentences: [String] {
        let rows = compared
        guard !rows.isEmpty else { return ["There is nothing that both measured."] }
        let repeated = rows.count { row in
            guard let first = row.first, let second = row.second, let a = first.interval, let b = second.interval else {
                return false
            }
            return a.contains(second.median) && b.contains(first.median)
        }
        return [
            differences == 0
                ? "No difference is proved in any of \(rows.count) comparisons."
                : "A difference is proved in \(differences) of \(rows.count) comparisons.",
            "In \(repeated) of \(rows.count) each median lies within the other's 95 % interval.",
        ]
    }

    static let method =
        "B in relation to A. Values of different runs are not paired: Welch's test on logarithms, with Holm's correction for all comparisons "
        + "of an experiment at 5 %. A difference below 5 % is never called one, since runs at different times differ by what the host did "
        + "meanwhile. Ratios in brackets are not proved."

    // MARK: as text

    public static let titles = ["", "measure", "A", "95 %", "n", "B", "95 %", "n", "B / A", "95 %", ""]

    /// A case's rows as cells of a table.
    public func cells(_ item: CaseRows) -> [[String]] {
        let subjects = (ReportSubject(first), ReportSubject(second))
        return item.rows.map { row in
            let isEmulated = subjects.0.isEmulated(row.condition) || subjects.1.isEmulated(row.condition)
            let subject = isEmulated && !subjects.0.isEmulated ? subjects.1 : subjects.0
            let name = subject.name(row.condition)
            return [name, "\(row.measure.name) (\(row.measure.unit))"]
                + RunComparison.cells(row.first, row.absences.first)
                + RunComparison.cells(row.second, row.absences.second) + RunComparison.cells(row)
        }
    }

    private static func cells(_ summary: Summary?, _ absence: String) -> [String] {
        guard let summary else { return [absence, "", ""] }
        return [
            Decimal.significant(summary.median), summary.interval.map(CaseTable.text) ?? "–", "\(summary.count)",
        ]
    }

    private static func cells(_ row: Row) -> [String] {
        guard let comparison = row.comparison else { return ["", "", ""] }
        let change = Change(comparison, row.measure)
        let words =
            switch change.verdict {
            case .worse: "B is worse"
            case .better: "B is better"
            case .different: "different"
            case .unproved: comparison.probability == nil ? "too few values to tell" : "no difference proved"
            }
        let ratio = comparison.isDifferent || change.text.isEmpty ? change.text : "(\(change.text))"
        return [ratio, comparison.interval.map(Change.text) ?? "", words]
    }

    /// Both hosts: what is told of each, side by side.
    public var hostRows: [[String]] {
        let (a, b) = (ReportSubject(first), ReportSubject(second))
        var rows = [
            ["Run", first.identifier, second.identifier],
            [
                "Started", ReportSubject.time(a.record["started"]) ?? "–",
                ReportSubject.time(b.record["started"]) ?? "–",
            ],
        ]
        for (name, value) in a.hostLines where name != "Run" {
            rows.append([name, value, b.hostLines.first { $0.0 == name }?.1 ?? "–"])
        }
        func work(_ subject: ReportSubject) -> String {
            let noise = subject.record["noise"]["before"]
            guard let work = noise["work"].double else { return "–" }
            return "\(Decimal.significant(work)) ms; busy \(noise["busy"].double.map(ReportSubject.percent) ?? "–")"
        }
        rows.append(["Fixed work, before", work(a), work(b)])
        return rows
    }

    public var warnings: [String] {
        ReportSubject(first).warnings.map { "A: " + $0 } + ReportSubject(second).warnings.map { "B: " + $0 }
    }

    var hasEmulated: Bool { ReportSubject(first).hasEmulated || ReportSubject(second).hasEmulated }
}
