/// What has been measured of a case.
struct CaseSamples {
    let item: Case
    /// Nanoseconds its trials took.
    private var spent: Int64 = 0
    private var samples: [Condition: [Sample]] = [:]

    init(_ item: Case, _ samples: [Sample]) {
        self.item = item
        for sample in samples { add(sample) }
    }

    mutating func add(_ sample: Sample) {
        samples[sample.condition, default: []].append(sample)
        spent += sample.elapsed
    }

    /// Whether no further round is needed, or there is no time for it. Two are needed to tell anything.
    func isEnough(_ rounds: Experiment.Rounds, before round: Int) -> Bool {
        round > 2 && spent > rounds.limit || round > rounds.least && isPrecise(rounds.precision)
    }

    func has(_ condition: Condition, _ round: Int) -> Bool {
        samples[condition]?.contains { $0.round == round } ?? false
    }

    func failures(of condition: Condition) -> Int {
        samples[condition]?.count { $0.trial.failure != nil && $0.round > 0 } ?? 0
    }

    /// Whether each measure's interval is narrow enough under each condition that has values.
    private func isPrecise(_ precision: Double) -> Bool {
        for condition in item.conditions where failures(of: condition) < 2 {
            for measure in item.measures {
                let values = (samples[condition] ?? []).filter { $0.round > 0 }.compactMap {
                    $0.trial.values[measure.name]
                }
                guard let summary = Summary(values) else { return false }
                // What never varies, a count for instance, has an interval of no width even around 0.
                if summary.minimum == summary.maximum, summary.count > 1 { continue }
                guard let reached = summary.precision, reached <= precision else { return false }
            }
        }
        return true
    }
}
