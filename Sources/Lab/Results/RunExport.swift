public import Base

/// A run for other programs.
public struct RunExport {
    let results: RunResults

    public init(_ results: RunResults) { self.results = results }

    /// A row for each trial and measure (RFC 4180): `experiment,case`, a column for each factor of any experiment,
    /// `round,measure,value,unit,failure`. Rounds below 1 warmed up. Without a value `failure` says why.
    public var csv: String {
        var factors: [String] = []
        for item in results.experiments.flatMap(\.cases) {
            for factor in item.rows.flatMap(\.condition.factors) where !factors.contains(factor.name) {
                factors.append(factor.name)
            }
        }
        var text = RunExport.line(["experiment", "case"] + factors + ["round", "measure", "value", "unit", "failure"])
        for sample in results.samples {
            let item = results[sample.experiment]?.cases.first { $0.name == sample.name }
            for measure in item?.measures ?? [] {
                let value = sample.trial.values[measure.name]
                guard value != nil || sample.trial.failure != nil else { continue }
                text += RunExport.line(
                    [sample.experiment, sample.name] + factors.map { sample.condition[$0] ?? "" } + [
                        "\(sample.round)", measure.name, value.map { "\($0)" } ?? "", measure.unit,
                        value == nil ? sample.trial.failure ?? "" : "",
                    ])
            }
        }
        return text
    }

    private static func line(_ fields: [String]) -> String { fields.map(field).joined(separator: ",") + "\r\n" }

    private static func field(_ text: String) -> String {
        let isPlain = text.unicodeScalars.allSatisfy { $0 != "," && $0 != "\"" && $0 != "\n" && $0 != "\r" }
        return isPlain ? text : "\"" + text.replacing("\"", with: "\"\"") + "\""
    }

    /// The run's record with what was computed of its samples: docs/lab.md describes the members.
    public var json: JSON {
        let subject = ReportSubject(results)
        return [
            "version": 1, "run": results.record,
            "experiments": JSON(
                results.experiments.map { experiment -> JSON in
                    [
                        "name": JSON(experiment.name), "title": JSON(experiment.title),
                        "answers": JSON(
                            Answer(experiment, subject).sentences.map { $0.subject + " " + $0.text }),
                        "findings": JSON(experiment.findings.map { finding($0, experiment, subject) }),
                        "cases": JSON(experiment.cases.map { json($0, subject) }),
                    ]
                }),
        ]
    }

    private func finding(
        _ finding: ExperimentResults.Finding, _ experiment: ExperimentResults, _ subject: ReportSubject
    ) -> JSON {
        [
            "source": JSON(finding.source), "text": JSON(finding.text),
            "checks": JSON(
                experiment.checks(finding, subject).map { check -> JSON in
                    [
                        "expected": JSON(check.expected), "verdict": JSON(check.summary),
                        "instances": JSON(
                            check.instances.map { ["text": JSON($0.text), "verdict": JSON($0.verdict.rawValue)] }),
                    ]
                }),
        ]
    }

    private func json(_ item: CaseResults, _ subject: ReportSubject) -> JSON {
        [
            "name": JSON(item.name), "title": JSON(item.title),
            "base": [JSON(item.base.name), JSON(item.base.value)],
            "conditions": JSON(
                item.rows.map { row -> JSON in
                    [
                        "condition": row.condition.json, "emulated": JSON(subject.isEmulated(row.condition)),
                        "trials": JSON(row.trials), "failed": JSON(row.failed), "failures": JSON(row.failures),
                        "remarks": JSON(row.remarks),
                        "measures": .object(
                            JSONObject(item.measures.compactMap { measure in json(measure, row) })),
                    ]
                }),
        ]
    }

    private func json(_ measure: Measure, _ row: CaseResults.Row) -> (key: String, value: JSON)? {
        guard let summary = row.summaries[measure.name] else { return nil }
        var json: JSON = [
            "unit": JSON(measure.unit), "better": JSON(measure.better.rawValue), "n": JSON(summary.count),
            "median": JSON(summary.median), "minimum": JSON(summary.minimum), "maximum": JSON(summary.maximum),
            "interval": RunExport.interval(summary.interval),
        ]
        if let comparison = row.comparisons[measure.name] {
            json["comparison"] = [
                "ratio": comparison.ratio.map { JSON($0) } ?? .null,
                "interval": RunExport.interval(comparison.interval),
                "probability": comparison.probability.map { JSON($0) } ?? .null,
                "different": JSON(comparison.isDifferent),
            ]
        }
        return (measure.name, json)
    }

    private static func interval(_ interval: ClosedRange<Double>?) -> JSON {
        interval.map { [JSON($0.lowerBound), JSON($0.upperBound)] } ?? .null
    }
}
