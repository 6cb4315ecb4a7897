import Base

/// Which figures show what a case found.
struct CaseFigures {
    let subject: ReportSubject
    let item: CaseResults

    /// Rows that were tried.
    private var rows: [(index: Int, row: CaseResults.Row)] {
        item.rows.enumerated().filter { $0.element.trials > 0 }.map { ($0.offset, $0.element) }
    }

    /// Why a row has no value.
    static func absence(_ row: CaseResults.Row) -> String {
        guard row.trials > 0 else { return "not measured" }
        if row.wasKilled { return "was killed" }
        return row.isUnfinished ? "did not finish" : row.failed > 0 ? "failed" : "no value"
    }

    /// The figure that shows a measure best; nil where nothing has a value.
    func main(_ measure: Measure) -> Markup? {
        guard item.rows.contains(where: { $0.summaries[measure.name] != nil }) else { return nil }
        if isInterference, let figure = relative(measure) { return figure.svg }
        return lines(measure) ?? values(measure).svg
    }

    // MARK: absolute values

    /// A measure's medians, a bar for each condition.
    func values(_ measure: Measure) -> BarFigure {
        let bars = rows.map { index, row -> BarFigure.Bar in
            let summary = row.summaries[measure.name]
            return BarFigure.Bar(
                label: subject.name(row.condition), style: style(index), value: summary?.median,
                interval: summary?.interval,
                points: row.samples.compactMap { $0.trial.values[measure.name] },
                text: summary.map { Decimal.significant($0.median) } ?? CaseFigures.absence(row))
        }
        return BarFigure(
            title: "\(item.title): \(measure.name)", axis: .absolute(unit: measure.axisTitle),
            groups: [BarFigure.Group(label: nil, bars: bars)])
    }

    /// By the factor that is compared.
    private func style(_ index: Int) -> FigureStyle {
        let value = item.rows[index].condition[item.base.name] ?? ""
        return FigureStyle(value, item.values(of: item.base.name).firstIndex(of: value) ?? index)
    }

    // MARK: in relation to the base

    /// Whether the case shows what neighbours do: its conditions are compared with that without one, isolation by isolation.
    var isInterference: Bool { item.base.name == "neighbour" }

    /// A measure in relation to what it is compared with, grouped by all other factors.
    func relative(_ measure: Measure) -> BarFigure? {
        let compared = rows.filter { item.base(of: $0.index) != nil }
        guard !compared.isEmpty else { return nil }
        let showsLoss = isInterference && measure.better == .higher
        var groups: [(label: String, bars: [BarFigure.Bar])] = []
        for (index, row) in compared {
            let label = subject.name(row.condition, without: item.base.name)
            let bar = relativeBar(row, style(index), measure, asLoss: showsLoss)
            if let place = groups.firstIndex(where: { $0.label == label }) {
                groups[place].bars.append(bar)
            } else {
                groups.append((label, [bar]))
            }
        }
        let base = item.base.value == "none" ? "alone" : item.base.value
        let title = showsLoss ? "share of \(measure.name) lost, against \(base)" : measure.factorTitle(base)
        return BarFigure(
            title: "\(item.title): \(title)", axis: showsLoss ? .loss(title: title) : .factor(title: title),
            groups: groups.map { BarFigure.Group(label: $0.label.isEmpty ? nil : $0.label, bars: $0.bars) })
    }

    private func relativeBar(
        _ row: CaseResults.Row, _ style: FigureStyle, _ measure: Measure, asLoss: Bool
    ) -> BarFigure.Bar {
        let label = row.condition[item.base.name] ?? subject.name(row.condition)
        return CaseFigures.bar(
            label + (item.base.name == "isolation" && subject.isEmulated(row.condition) ? " ᵉ" : ""), row, style,
            measure,
            asLoss: asLoss)
    }

    static func bar(
        _ label: String, _ row: CaseResults.Row, _ style: FigureStyle, _ measure: Measure, asLoss: Bool = false
    ) -> BarFigure.Bar {
        guard let comparison = row.comparisons[measure.name] else {
            let reason = row.summaries[measure.name] == nil ? absence(row) : "nothing to compare with"
            return BarFigure.Bar(label: label, style: style, value: nil, text: reason)
        }
        let change = Change(comparison, measure)
        let text = comparison.isDifferent ? change.text : "(\(change.text)) not proved"
        guard let ratio = comparison.ratio, let cost = change.cost else {
            return BarFigure.Bar(label: label, style: style, value: nil, text: change.words + ", no ratio to 0")
        }
        return BarFigure.Bar(
            label: label, style: style, value: asLoss ? 1 - ratio : cost,
            interval: asLoss
                ? comparison.interval.map { 1 - $0.upperBound...1 - $0.lowerBound } : change.costInterval,
            text: text, isFaint: !comparison.isDifferent)
    }

    /// All cases of an experiment in relation to their base, where that is an isolation or another factor alone.
    static func overview(_ experiment: ExperimentResults, _ subject: ReportSubject) -> BarFigure? {
        let cases = experiment.cases.filter { item in
            item.rows.allSatisfy { $0.condition.factors.count == 1 } && item.rows.contains { $0.trials > 0 }
        }
        guard cases.count > 1, let base = cases.first?.base, cases.allSatisfy({ $0.base == base }) else { return nil }
        var groups: [BarFigure.Group] = []
        for item in cases {
            let figures = CaseFigures(subject: subject, item: item)
            for measure in item.measures where measure.better != .neither {
                let bars = figures.rows.filter { item.base(of: $0.index) != nil }.map { index, row in
                    bar(subject.name(row.condition), row, figures.style(index), measure)
                }
                guard !bars.isEmpty else { continue }
                let name = item.measures.count > 1 ? "\(item.title): \(measure.name)" : item.title
                groups.append(BarFigure.Group(label: name, bars: bars))
            }
        }
        guard !groups.isEmpty else { return nil }
        return BarFigure(
            title: "\(experiment.title), against \(base.value)",
            axis: .factor(title: "so many times worse than \(base.value)"), groups: groups)
    }
}

extension Measure {
    /// Name, unit, and which side is better.
    var axisTitle: String {
        let side = better == .neither ? "" : ", \(better.rawValue) is better"
        return "\(name) in \(unit)\(side)"
    }

    func factorTitle(_ base: String) -> String {
        switch better {
        case .higher: "so many times less \(name) than \(base)"
        case .lower: "so many times the \(name) of \(base)"
        case .neither: "\(name) in relation to \(base)"
        }
    }
}

extension CaseResults {
    /// The values a factor has, in the experiment's order.
    func values(of factor: String) -> [String] {
        var values: [String] = []
        for row in rows {
            if let value = row.condition[factor], !values.contains(value) { values.append(value) }
        }
        return values
    }
}
