import Base

/// What an experiment found, in a report's page.
struct ExperimentSection {
    let experiment: ExperimentResults
    let subject: ReportSubject

    init(_ experiment: ExperimentResults, _ subject: ReportSubject) {
        self.experiment = experiment
        self.subject = subject
    }

    var markup: Markup {
        Markup("section", [("id", HTMLPage.anchor(experiment.name)), ("class", "experiment")]) {
            Markup("h2") { experiment.title }
            Markup("p", [("class", "question")]) { experiment.question }
            if let figure = CaseFigures.overview(experiment, subject) {
                HTMLPage.figure(
                    figure.svg, "Error bars: 95 % intervals. Pale bars: no difference is proved. \(emulation)")
            }
            matrix
            findings
            if !experiment.caveats.isEmpty {
                Markup("h3") { "To be known" }
                Markup("ul", [("class", "caveats")]) { for caveat in experiment.caveats { Markup("li") { caveat } } }
            }
            for item in experiment.cases where item.rows.contains(where: { $0.trials > 0 }) { section(item) }
        }
    }

    private var emulation: String {
        experiment.cases.contains { $0.rows.contains { $0.trials > 0 && subject.isEmulated($0.condition) } }
            ? "ᵉ Software emulation." : ""
    }

    @MarkupBuilder private var findings: [Markup] {
        if !experiment.findings.isEmpty {
            Markup("h3") { "What others found" }
            for finding in experiment.findings {
                Markup("blockquote") {
                    Markup("p") { finding.text }
                    Markup("footer") { finding.source }
                    if let remark = finding.remark, !remark.isEmpty { Markup("p", [("class", "note")]) { remark } }
                }
                for check in experiment.checks(finding, subject) { self.check(check) }
            }
        }
    }

    private func check(_ check: FindingCheck) -> Markup {
        Markup("div", [("class", "check")]) {
            Markup("p") {
                "Theirs: \(check.expected). Here: "
                Markup("strong") { check.summary }
                "."
            }
            Markup("ul", [("class", "note")]) {
                for instance in check.shown { Markup("li") { "\(instance.text): \(instance.verdict.rawValue)" } }
            }
        }
    }

    @MarkupBuilder private var matrix: [Markup] {
        if let matrix = ExperimentMatrix(experiment, subject) {
            HTMLPage.table(
                matrix.titles, matrix.rows.map { [$0.name] + $0.cells.map(\.text) }, numbersFrom: 1
            ) { row, column in
                let cell = matrix.rows[row].cells[column - 1]
                return cell.isStrong ? "strong" : cell.isWeak ? "weak" : nil
            }
            Markup("p", [("class", "note")]) {
                "Bold: a proved change for the worse. In brackets: no difference is proved. \(emulation)"
            }
        }
    }

    private func section(_ item: CaseResults) -> Markup {
        let figures = CaseFigures(subject: subject, item: item)
        return Markup("section", [("class", "case")]) {
            Markup("h3") { item.title }
            for measure in item.measures {
                if let figure = figures.main(measure) { HTMLPage.figure(figure, nil) }
                table(item, measure)
            }
            for figure in figures.series { HTMLPage.figure(figure, "Medians of the rounds.") }
            remarks(item)
        }
    }

    private func table(_ item: CaseResults, _ measure: Measure) -> Markup {
        let rows = item.rows.enumerated().map { index, row in
            CaseTable.row(item, index, measure, subject)
        }
        return HTMLPage.table(CaseTable.titles(item, measure), rows, numbersFrom: 1)
    }

    @MarkupBuilder private func remarks(_ item: CaseResults) -> [Markup] {
        let notes = CaseTable.notes(item, subject)
        if !notes.isEmpty {
            Markup("ul", [("class", "note")]) { for note in notes { Markup("li") { note } } }
        }
    }
}
