import Base

extension RunComparison {
    /// One HTML file that needs no other.
    public var html: String {
        HTMLPage.document(title: "Skala lab: \(first.identifier) and \(second.identifier)") {
            Markup("header") {
                Markup("p", [("class", "kicker")]) { "Skala lab · two runs" }
                Markup("h1") { "\(first.identifier) and \(second.identifier)" }
                Markup("p", [("class", "facts")]) { sentences.joined(separator: " ") }
                if hasEmulated {
                    Markup("p", [("class", "warning"), ("role", "note")]) { ReportSubject.emulationNote }
                }
                if !warnings.isEmpty {
                    Markup("ul", [("class", "warning"), ("role", "note")]) {
                        for warning in warnings { Markup("li") { warning } }
                    }
                }
            }
            Markup("section", [("id", "hosts")]) {
                Markup("h2") { "Hosts" }
                HTMLPage.table(["", "A", "B"], hostRows, numbersFrom: 3)
            }
            for experiment in experiments { section(experiment) }
            if !missing.isEmpty {
                Markup("section") {
                    Markup("h2") { "Not in both" }
                    Markup("ul") { for line in missing { Markup("li") { line } } }
                }
            }
            Markup("section", [("id", "method")]) {
                Markup("h2") { "Method" }
                Markup("p") { RunComparison.method }
            }
        }
    }

    private func section(_ experiment: ExperimentRows) -> Markup {
        Markup("section", [("class", "experiment wide")]) {
            Markup("h2") { experiment.title }
            for item in experiment.cases {
                Markup("h3") { item.title }
                if let figure = figure(item) { HTMLPage.figure(figure, nil) }
                HTMLPage.table(RunComparison.titles, cells(item), numbersFrom: 2) { row, _ in
                    item.rows[row].comparison?.isDifferent == true ? nil : "weak"
                }
            }
        }
    }

    /// B in relation to A, of what has a ratio.
    private func figure(_ item: CaseRows) -> Markup? {
        let subject = ReportSubject(second)
        let rows = item.rows.filter { $0.comparison?.ratio != nil }
        guard !rows.isEmpty else { return nil }
        let hasSeveral = Set(rows.map(\.measure.name)).count > 1
        let bars = rows.compactMap { row -> BarFigure.Bar? in
            guard let comparison = row.comparison, let ratio = comparison.ratio else { return nil }
            let change = Change(comparison, row.measure)
            let label = subject.name(row.condition) + (hasSeveral ? ": " + row.measure.name : "")
            return BarFigure.Bar(
                label: label, style: FigureStyle("container", 1), value: ratio, interval: comparison.interval,
                text: comparison.isDifferent ? change.text : "(\(change.text)) not proved",
                isFaint: !comparison.isDifferent)
        }
        return BarFigure(
            title: "\(item.title): B in relation to A", axis: .factor(title: "B in relation to A"),
            groups: [BarFigure.Group(label: nil, bars: bars)]
        ).svg
    }
}
