import Base
import Glibc

/// A finding of others held against our figures, by rule.
struct FindingCheck {
    enum Verdict: String, CaseIterable {
        case agrees = "agrees"
        case weaker = "same direction, weaker here"
        case stronger = "same direction, stronger here"
        case differs = "differs"
        case unproved = "not proved here"
        case unmeasured = "not measured here"
    }

    /// What was looked at, and what it says.
    struct Instance {
        let verdict: Verdict
        let text: String
    }

    /// Two that lie so near count as the same: a tenth to either side.
    static let sameness = 1.1
    /// A factor is met by one whose logarithm is within a quarter of its own.
    static let tolerance = 0.25

    let expectation: Expectation
    let instances: [Instance]

    init(_ expectation: Expectation, _ experiment: ExperimentResults, _ subject: ReportSubject) {
        self.expectation = expectation
        var instances: [Instance] = []
        for item in experiment.cases where expectation.cases.isEmpty || expectation.cases.contains(item.name) {
            let measure =
                expectation.measure.map { name in item.measures.first { $0.name == name } } ?? item.measures.first
            guard let measure else { continue }
            for (index, row) in item.rows.enumerated() where row.trials > 0 {
                guard expectation.when.allSatisfy({ row.condition[$0.name] == $0.value }),
                    // It is about ours.
                    row.condition.peer == nil || expectation.when.contains(where: { $0.name == "isolation" }),
                    let base = FindingCheck.base(expectation, index, item)
                else { continue }
                let comparison = item.comparison(of: index, with: base, measure.name)
                let text = FindingCheck.text(row, comparison, measure)
                instances.append(
                    Instance(
                        verdict: FindingCheck.verdict(expectation, row, comparison, measure),
                        text: "\(item.title) (\(subject.name(row.condition))): \(text)"))
            }
        }
        self.instances = instances
    }

    /// The row that a row is held against.
    private static func base(_ expectation: Expectation, _ index: Int, _ item: CaseResults) -> Int? {
        guard !expectation.against.isEmpty else { return item.base(of: index) }
        var other = item.rows[index].condition
        for factor in expectation.against { other = other.replacing(factor.name, with: factor.value) }
        return other == item.rows[index].condition ? nil : item.rows.firstIndex { $0.condition == other }
    }

    private static func text(_ row: CaseResults.Row, _ comparison: Comparison?, _ measure: Measure) -> String {
        guard let comparison else { return CaseFigures.absence(row) }
        return measure.name + " " + Change(comparison, measure).words
    }

    private static func verdict(
        _ expectation: Expectation, _ row: CaseResults.Row, _ comparison: Comparison?, _ measure: Measure
    ) -> Verdict {
        if row.hasFailed {
            let isResult = row.isUnfinished || row.wasKilled
            switch expectation.outcome {
            case .unfinished: return isResult ? .agrees : .unmeasured
            case .worse: return isResult ? (expectation.factor == nil ? .agrees : .stronger) : .unmeasured
            case .same, .better: return isResult ? .differs : .unmeasured
            }
        }
        guard let comparison else { return .unmeasured }
        let change = Change(comparison, measure)
        switch expectation.outcome {
        case .unfinished: return .differs
        case .same:
            guard let cost = change.cost, let interval = change.costInterval else { return .unproved }
            if comparison.isDifferent { return abs(log(cost)) <= log(sameness) ? .agrees : .differs }
            // What may be anything is no agreement.
            return log(interval.upperBound / interval.lowerBound) <= log(sameness) * 4 ? .agrees : .unproved
        case .worse, .better:
            guard comparison.isDifferent, let cost = change.cost, let interval = change.costInterval else {
                return .unproved
            }
            return expectation.outcome == .worse
                ? verdict(expectation.factor, cost, interval)
                : verdict(expectation.factor, 1 / cost, 1 / interval.upperBound...1 / interval.lowerBound)
        }
    }

    private static func verdict(_ factor: Double?, _ found: Double, _ interval: ClosedRange<Double>) -> Verdict {
        guard found > 1 else { return .differs }
        guard let factor else { return .agrees }
        if interval.overlaps(pow(factor, 1 - tolerance)...pow(factor, 1 + tolerance)) { return .agrees }
        return found < factor ? .weaker : .stronger
    }

    /// Of all of it; nil where they do not go together.
    var verdict: Verdict? {
        guard let first = instances.first?.verdict else { return .unmeasured }
        return instances.allSatisfy { $0.verdict == first } ? first : nil
    }

    /// The verdict in words: `agrees`, `agrees in 3 of 4`.
    var summary: String {
        if let verdict { return verdict.rawValue }
        let agreeing = instances.count { $0.verdict == .agrees }
        return agreeing > 0 ? "agrees in \(agreeing) of \(instances.count)" : "mixed"
    }

    /// What was expected, in words.
    var expected: String {
        let factor = expectation.factor.map { " " + Change.text($0) } ?? ""
        let outcome =
            switch expectation.outcome {
            case .same: "no notable difference"
            case .worse: "worse" + factor
            case .better: "better" + factor
            case .unfinished: "does not finish"
            }
        let when = expectation.when.map(\.value).joined(separator: ", ")
        let against = expectation.against.map(\.value).joined(separator: ", ")
        return outcome + (when.isEmpty ? "" : " for \(when)") + (against.isEmpty ? "" : " against \(against)")
    }

    /// The instances worth a line each: all of a few, of many those that do not agree.
    var shown: [Instance] {
        guard instances.count > 6 else { return instances }
        let others = instances.filter { $0.verdict != .agrees }
        return Array((others.isEmpty ? instances : others).prefix(6))
    }
}

extension ExperimentResults {
    /// What others found, held against what was found here.
    func checks(_ finding: Finding, _ subject: ReportSubject) -> [FindingCheck] {
        finding.expectations.map { FindingCheck($0, self, subject) }
    }
}
