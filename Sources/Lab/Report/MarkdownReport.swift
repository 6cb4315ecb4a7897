import Base

/// A run as Markdown: for a terminal, or a pull request.
public struct MarkdownReport {
    let results: RunResults
    let subject: ReportSubject

    public init(_ results: RunResults) {
        self.results = results
        subject = ReportSubject(results)
    }

    public var text: String {
        let facts = [
            ReportSubject.time(results.record["started"]), subject.duration.map { "took \($0)" },
            "\(results.samples.count) trials",
        ]
        var text = "# What isolation costs on \(Markdown.text(subject.hostname))\n\n"
        text += "Run \(Markdown.text(results.identifier)). \(facts.compactMap { $0 }.joined(separator: ", ")).\n\n"
        if subject.hasEmulated { text += "> \(ReportSubject.emulationNote)\n\n" }
        if !subject.warnings.isEmpty { text += Markdown.list(subject.warnings.map(Markdown.text)) + "\n" }
        let advice = AdviceTable(results).rows
        if !advice.isEmpty {
            text += "## Which isolation for what?\n\n"
            text += Markdown.table(AdviceTable.titles, advice, numbersFrom: 3)
            text += "\n\(Markdown.text(AdviceTable.note))\n\n"
        }
        for experiment in results.experiments { text += section(experiment) }
        if !subject.obstacles.isEmpty {
            text += "## Not measured\n\n" + Markdown.list(subject.obstacles.map(Markdown.text)) + "\n"
        }
        text +=
            "## Host\n\n" + Markdown.table(["", ""], subject.hostLines.map { [$0.0, $0.1] }, numbersFrom: 2) + "\n"
        text += Markdown.table(ReportSubject.noiseTitles, subject.noiseRows, numbersFrom: 1) + "\n"
        return text + "## Method\n\n" + ReportMethod.paragraphs.map { $0 + "\n" }.joined(separator: "\n")
    }

    private func section(_ experiment: ExperimentResults) -> String {
        let cases = experiment.cases.filter { $0.rows.contains { $0.trials > 0 } }
        guard !cases.isEmpty else { return "" }
        var text = "## \(Markdown.text(experiment.title)): \(Markdown.text(experiment.question))\n\n"
        text += Markdown.list(
            Answer(experiment, subject).sentences.map { "**\(Markdown.text($0.subject))** \(Markdown.text($0.text))" })
        text += "\n"
        for item in cases {
            text += "### \(Markdown.text(item.title))\n\n"
            for measure in item.measures {
                let rows = item.rows.indices.map { CaseTable.row(item, $0, measure, subject) }
                text += Markdown.table(CaseTable.titles(item, measure), rows, numbersFrom: 1) + "\n"
            }
            let notes = CaseTable.notes(item, subject)
            if !notes.isEmpty { text += Markdown.list(notes.map(Markdown.text)) + "\n" }
        }
        text += findings(experiment)
        if !experiment.caveats.isEmpty {
            text += "### To be known\n\n" + Markdown.list(experiment.caveats.map(Markdown.text)) + "\n"
        }
        return text
    }

    private func findings(_ experiment: ExperimentResults) -> String {
        guard !experiment.findings.isEmpty else { return "" }
        var text = "### What others found\n\n"
        for finding in experiment.findings {
            text += "> \(Markdown.text(finding.text)) — \(Markdown.text(finding.source))\n\n"
            if let remark = finding.remark, !remark.isEmpty { text += "\(Markdown.text(remark))\n\n" }
            let checks = experiment.checks(finding, subject)
            text += Markdown.list(
                checks.flatMap { check in
                    ["Theirs: \(Markdown.text(check.expected)). Here: **\(check.summary)**."]
                        + check.shown.map { "\(Markdown.text($0.text)): \($0.verdict.rawValue)" }
                })
            if !checks.isEmpty { text += "\n" }
        }
        return text
    }
}

extension RunComparison {
    public var markdown: String {
        var text = "# \(Markdown.text(first.identifier)) and \(Markdown.text(second.identifier))\n\n"
        text += sentences.joined(separator: " ") + "\n\n"
        if hasEmulated { text += "> \(ReportSubject.emulationNote)\n\n" }
        if !warnings.isEmpty { text += Markdown.list(warnings.map(Markdown.text)) + "\n" }
        text += Markdown.table(["", "A", "B"], hostRows, numbersFrom: 3) + "\n"
        for experiment in experiments {
            text += "## \(Markdown.text(experiment.title))\n\n"
            for item in experiment.cases {
                text += "### \(Markdown.text(item.title))\n\n"
                text += Markdown.table(RunComparison.titles, cells(item), numbersFrom: 2) + "\n"
            }
        }
        if !missing.isEmpty { text += "## Not in both\n\n" + Markdown.list(missing.map(Markdown.text)) + "\n" }
        return text + "## Method\n\n" + RunComparison.method + "\n"
    }
}
