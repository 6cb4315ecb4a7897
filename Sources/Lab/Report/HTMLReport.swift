import Base

/// A run as one HTML file that needs nothing else: no other file, no network, no JavaScript to be read.
public struct HTMLReport {
    let results: RunResults
    let subject: ReportSubject

    public init(_ results: RunResults) {
        self.results = results
        subject = ReportSubject(results)
    }

    /// The document.
    public var text: String {
        HTMLPage.document(title: "Skala lab: \(subject.hostname), \(results.identifier)") {
            header
            answers
            advice
            contents
            for experiment in measured { ExperimentSection(experiment, subject).markup }
            notMeasured
            method
            host
            raw
        }
    }

    /// Experiments of which something was measured.
    private var measured: [ExperimentResults] {
        results.experiments.filter { $0.cases.contains { $0.rows.contains { $0.trials > 0 } } }
    }

    private var header: Markup {
        let parts: [String?] = [
            ReportSubject.time(results.record["started"]), subject.duration.map { "took \($0)" },
            "\(results.samples.count) trials", results.record["host"]["engine"]["version"].string.map { "Skala \($0)" },
            results.record["host"]["kernel"].string.map { "Linux \($0)" },
        ]
        return Markup("header") {
            Markup("p", [("class", "kicker")]) { "Skala lab · run \(results.identifier)" }
            Markup("h1") { "What isolation costs on \(subject.hostname)" }
            Markup("p", [("class", "facts")]) { parts.compactMap { $0 }.joined(separator: " · ") }
            warnings
        }
    }

    @MarkupBuilder private var warnings: [Markup] {
        if subject.hasEmulated {
            Markup("p", [("class", "warning"), ("role", "note")]) { ReportSubject.emulationNote }
        }
        let warnings = subject.warnings
        if !warnings.isEmpty {
            Markup("ul", [("class", "warning"), ("role", "note")]) {
                for warning in warnings { Markup("li") { warning } }
            }
        }
    }

    private var answers: Markup {
        Markup("section", [("id", "answers")]) {
            Markup("h2") { "The answers" }
            if measured.isEmpty { Markup("p") { "Nothing was measured." } }
            for experiment in measured {
                Markup("h3") { experiment.question.isEmpty ? experiment.title : experiment.question }
                Markup("ul", [("class", "answer")]) {
                    for sentence in Answer(experiment, subject).sentences {
                        Markup("li") {
                            Markup("strong") { sentence.subject }
                            " " + sentence.text
                        }
                    }
                }
            }
        }
    }

    @MarkupBuilder private var advice: [Markup] {
        let table = AdviceTable(results)
        if !table.rows.isEmpty {
            Markup("section", [("id", "advice")]) {
                Markup("h2") { "Which isolation for what?" }
                HTMLPage.table(AdviceTable.titles, table.rows, numbersFrom: 3)
                Markup("p", [("class", "note")]) { AdviceTable.note }
            }
        }
    }

    private var contents: Markup {
        Markup("nav", [("aria-label", "Contents")]) {
            if !AdviceTable(results).rows.isEmpty { Markup("a", [("href", "#advice")]) { "Which isolation for what?" } }
            for experiment in measured {
                Markup("a", [("href", "#" + HTMLPage.anchor(experiment.name))]) { experiment.title }
            }
            if !subject.obstacles.isEmpty { Markup("a", [("href", "#obstacles")]) { "Not measured" } }
            Markup("a", [("href", "#method")]) { "Method" }
            Markup("a", [("href", "#host")]) { "Host" }
            Markup("a", [("href", "#data")]) { "Raw data" }
        }
    }

    @MarkupBuilder private var notMeasured: [Markup] {
        if !subject.obstacles.isEmpty {
            Markup("section", [("id", "obstacles")]) {
                Markup("h2") { "Not measured" }
                Markup("ul") { for obstacle in subject.obstacles { Markup("li") { obstacle } } }
            }
        }
    }

    private var method: Markup {
        Markup("section", [("id", "method")]) {
            Markup("h2") { "Method" }
            for paragraph in ReportMethod.paragraphs { Markup("p") { paragraph } }
        }
    }

    private var host: Markup {
        Markup("section", [("id", "host")]) {
            Markup("h2") { "Host" }
            HTMLPage.table(nil, subject.hostLines.map { [$0.0, $0.1] }, numbersFrom: 2)
            Markup("h3") { "Noise" }
            HTMLPage.table(ReportSubject.noiseTitles, subject.noiseRows, numbersFrom: 1)
            Markup("p", [("class", "note")]) { ReportMethod.noise }
        }
    }

    private var raw: Markup {
        Markup("section", [("id", "data")]) {
            Markup("h2") { "Raw data" }
            Markup("p") {
                "The run and all its samples are in this file, as JSON: in the elements "
                Markup("code") { "script#run" }
                " (run.json) and "
                Markup("code") { "script#samples" }
                " (an array of the lines of samples.jsonl). "
                Markup("span", [("class", "actions")]) {
                    Markup("button", [("data-save", "run"), ("hidden", "")]) { "Save run.json" }
                    Markup("button", [("data-save", "samples"), ("hidden", "")]) { "Save samples.jsonl" }
                }
            }
            Markup("script", [("type", "application/json"), ("id", "run")]) { Markup.data(results.record.text) }
            Markup("script", [("type", "application/json"), ("id", "samples")]) {
                Markup.data(JSON(results.samples.map(\.json)).text)
            }
        }
    }
}
