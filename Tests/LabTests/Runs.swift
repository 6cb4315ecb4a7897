import Base
import Glibc
import TestSupport

@testable import Lab

/// Runs made for tests.
enum Runs {
    /// Text as a program, or somebody who means harm, may write it.
    static let hostile = "</script><img src=x onerror=alert(1)>\"'&|`*\u{1}"

    /// A run of one experiment whose names are hostile, with zero values, missing values and failures.
    static func hostileRun() -> RunResults {
        let conditions = [
            Condition([("isolation", "container"), ("neighbour", "none")]),
            Condition([("isolation", "container"), ("neighbour", hostile)]),
            Condition([("isolation", "microvm"), ("neighbour", "none")]),
            Condition([("isolation", "microvm"), ("neighbour", hostile)]),
        ]
        let counts = ["1", "10", "100"].map { Condition([("isolation", "container"), ("count", $0)]) }
        var samples: [Sample] = []
        for round in 1...3 {
            for (index, condition) in conditions.enumerated() {
                var trial = Trial(values: ["rate": Double(100 * (index + 1) + round), "errors": 0])
                trial.series = ["time": [0, 1, 2], hostile: [1, 2, Double(round)]]
                trial.remarks = [hostile]
                if index == 3 {
                    trial = .unfinished(after: 60_000_000_000)
                    trial.failure = "did not finish within 60 s " + hostile
                }
                if index == 1, round == 2 { trial = Trial(values: ["errors": 0]) }
                samples.append(sample("odd", "case", condition, round, trial))
            }
            for (index, condition) in counts.enumerated() {
                samples.append(sample("odd", "many", condition, round, Trial(values: ["memory": Double(index * 5)])))
            }
        }
        let text = JSON(hostile)
        let record: JSON = [
            "version": 1, "id": text, "state": "stopped", "started": "2026-11-26T08:00:00Z", "options": ["quick": true],
            "host": ["hostname": text, "accelerator": "tcg", "processors": 2],
            "noise": ["before": ["busy": 0.4, "stolen": 0.02, "load": 1, "work": 2, "scatter": 1.5]],
            "obstacles": [text],
            "experiments": [
                [
                    "name": "odd", "title": text, "question": text, "caveats": [text],
                    "findings": [["source": text, "text": text, "remark": text, "expect": [["is": "same"]]]],
                    "cases": [
                        [
                            "name": "case", "title": text, "base": ["neighbour", "none"],
                            "measures": [
                                ["name": "rate", "unit": text, "better": "higher"],
                                ["name": "errors", "unit": "1", "better": "lower"],
                                ["name": "never", "unit": "1", "better": "neither"],
                            ], "conditions": JSON(conditions.map(\.json)),
                        ],
                        [
                            "name": "many", "title": "Many", "base": ["count", "1"],
                            "measures": [["name": "memory", "unit": "MiB", "better": "lower"]],
                            "conditions": JSON(counts.map(\.json)),
                        ],
                    ],
                ]
            ],
        ]
        return RunResults(record, samples)
    }

    static func sample(
        _ experiment: String, _ name: String, _ condition: Condition, _ round: Int, _ trial: Trial
    ) -> Sample {
        Sample(
            experiment: experiment, name: name, condition: condition, round: round, started: Timestamp(seconds: 0),
            elapsed: 1_000_000_000, stolen: 0, trial: trial)
    }

    /// A run of containers and VMs, with values drawn by a seed: `factor` times so fast in VMs, everything `speed` times so fast.
    static func drawn(
        seed: UInt64, factor: Double, speed: Double = 1, cases: Int = 6, rounds: Int = 8, scatter: Double = 0.03,
        expect: JSON = []
    ) -> RunResults {
        var random = SeededRandom(seed: seed)
        let conditions = ["container", "microvm"].map { Condition([("isolation", $0)]) }
        var samples: [Sample] = []
        var list: [JSON] = []
        for number in 0..<cases {
            for round in 1...rounds {
                for (index, condition) in conditions.enumerated() {
                    let value = 100 * speed * (index == 1 ? factor : 1) * exp(scatter * normal(&random))
                    samples.append(sample("drawn", "case\(number)", condition, round, Trial(values: ["rate": value])))
                }
            }
            list.append([
                "name": JSON("case\(number)"), "title": JSON("Case \(number)"), "base": ["isolation", "container"],
                "measures": [["name": "rate", "unit": "1/s", "better": "higher"]],
                "conditions": JSON(conditions.map(\.json)),
            ])
        }
        let record: JSON = [
            "version": 1, "id": JSON("seed-\(seed)"), "state": "complete", "host": ["hostname": "test"],
            "experiments": [
                [
                    "name": "drawn", "title": "Drawn", "question": "Is there a difference?",
                    "findings": [["source": "A study", "text": "So it is.", "expect": expect]], "cases": JSON(list),
                ]
            ],
        ]
        return RunResults(record, samples)
    }

    /// A value of the standard normal distribution (Box and Muller).
    static func normal(_ random: inout SeededRandom) -> Double {
        let (a, b) = (Double.random(in: 1e-12..<1, using: &random), Double.random(in: 0..<1, using: &random))
        return (-2 * log(a)).squareRoot() * cos(2 * .pi * b)
    }
}
