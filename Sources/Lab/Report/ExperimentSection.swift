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
                    if let remark = finding.remark { Markup("p", [("class", "note")]) { remark } }
                }
            }
        }
    }

    private func section(_ item: CaseResults) -> Markup {
        let figures = CaseFigures(subject: subject, item: item)
        return Markup("section", [("class", "case")]) {
            Markup("h3") { item.title }
            for measure in item.measures {
                if figures.isInterference, let figure = figures.relative(measure) {
                    HTMLPage.figure(figure.svg, nil)
                } else {
                    HTMLPage.figure(figures.values(measure).svg, nil)
                }
                table(item, measure)
            }
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
