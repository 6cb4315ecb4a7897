import Base
import Glibc

/// What an experiment answers, in a few sentences made of its data by rule.
struct Answer {
    struct Sentence: Hashable {
        /// What it is about: an isolation, say.
        let subject: String
        let text: String
    }

    private struct Entry {
        let item: CaseResults
        let row: CaseResults.Row
        let measure: Measure
        let change: Change
    }

    let experiment: ExperimentResults
    let subject: ReportSubject

    init(_ experiment: ExperimentResults, _ subject: ReportSubject) {
        self.experiment = experiment
        self.subject = subject
    }

    var sentences: [Sentence] {
        var groups: [String] = []
        for item in experiment.cases {
            for index in item.rows.indices where item.rows[index].trials > 0 && item.base(of: index) != nil {
                let group = group(item.rows[index].condition, item)
                if !groups.contains(group) { groups.append(group) }
            }
        }
        return groups.compactMap(sentence) + unfinished + findings
    }

    /// Told together: what has one isolation; otherwise one value of the factor that is compared.
    private func group(_ condition: Condition, _ item: CaseResults) -> String {
        condition["isolation"] ?? condition[item.base.name] ?? condition.description
    }

    private func sentence(_ group: String) -> Sentence? {
        var entries: [Entry] = []
        var bases: [String] = []
        var isEmulated = false
        for item in experiment.cases {
            for row in item.rows where self.group(row.condition, item) == group {
                isEmulated = isEmulated || subject.isEmulated(row.condition)
                for measure in item.measures where measure.better != .neither {
                    guard let comparison = row.comparisons[measure.name] else { continue }
                    entries.append(
                        Entry(item: item, row: row, measure: measure, change: Change(comparison, measure)))
                    let base = item.base.value == "none" ? "being alone" : item.base.value
                    if !bases.contains(base) { bases.append(base) }
                }
            }
        }
        guard !entries.isEmpty else { return nil }
        let worse = entries.filter { $0.change.verdict == .worse }.sorted { size($0) > size($1) }
        let better = entries.filter { $0.change.verdict == .better }.sorted { size($0) > size($1) }
        let rest = entries.count - worse.count - better.count
        var parts: [String] = []
        if let most = worse.first {
            parts.append("worse in \(worse.count) of \(entries.count) comparisons, most in \(told(most))")
        }
        if let most = better.first {
            let count = parts.isEmpty ? "\(better.count) of \(entries.count) comparisons" : "\(better.count)"
            parts.append("better in \(count), most in \(told(most))")
        }
        if parts.isEmpty {
            parts.append(
                entries.count == 1
                    ? "no difference proved in \(entries[0].item.title)"
                    : "no difference proved in any of \(entries.count) comparisons")
        } else if rest > 0 {
            parts.append("no difference proved in \(rest)")
        }
        return Sentence(
            subject: group + (isEmulated ? " " + ReportSubject.emulationMark : ""),
            text: "against \(bases.joined(separator: " or ")): \(parts.joined(separator: "; ")).")
    }

    private func size(_ entry: Entry) -> Double { entry.change.cost.map { abs(log($0)) } ?? 0 }

    /// `System calls (calls ×0.04)`.
    private func told(_ entry: Entry) -> String {
        let others = entry.row.condition.factors.filter { factor in
            factor.name != "isolation" && entry.item.values(of: factor.name).count > 1
        }
        let values = others.map { Double($0.value) == nil ? $0.value : "\($0.name) \($0.value)" }
        let place = values.isEmpty ? "" : values.joined(separator: ", ") + "; "
        return "\(entry.item.title) (\(place)\(entry.measure.name) \(entry.change.text))"
    }

    /// How many of others' findings hold here.
    private var findings: [Sentence] {
        let checks = experiment.findings.flatMap { experiment.checks($0, subject) }
        guard !checks.isEmpty else { return [] }
        let kinds: [FindingCheck.Verdict?] = [.agrees, .weaker, .stronger, nil, .differs, .unproved, .unmeasured]
        let parts = kinds.compactMap { kind -> String? in
            let count = checks.count { $0.verdict == kind }
            return count > 0 ? "\(kind?.rawValue ?? "in part"): \(count)" : nil
        }
        return [
            Sentence(subject: "What others found,", text: "of \(checks.count) points \(parts.joined(separator: "; ")).")
        ]
    }

    /// Conditions without figures.
    private var unfinished: [Sentence] {
        var kinds: [(kind: String, places: [String])] = []
        for item in experiment.cases {
            for row in item.rows where row.hasFailed {
                let kind = CaseFigures.absence(row)
                let place = "\(item.title) (\(subject.name(row.condition)))"
                if let index = kinds.firstIndex(where: { $0.kind == kind }) {
                    kinds[index].places.append(place)
                } else {
                    kinds.append((kind, [place]))
                }
            }
        }
        return kinds.map { kind, places in
            let rest = places.count > 4 ? " and \(places.count - 3) more" : ""
            let shown = places.count > 4 ? Array(places.prefix(3)) : places
            return Sentence(
                subject: kind.prefix(1).uppercased() + kind.dropFirst() + ":",
                text: shown.joined(separator: ", ") + rest + ".")
        }
    }
}
