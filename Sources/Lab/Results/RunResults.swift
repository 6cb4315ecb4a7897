public import Base
public import Planning

/// What a run found: its samples in the order of the experiments, with medians, intervals and comparisons.
public struct RunResults: Sendable {
    public let identifier: String
    /// `run.json`: host, noise, versions, options.
    public let record: JSON
    public let experiments: [ExperimentResults]
    public let samples: [Sample]

    /// - Throws: `.notFound`, or `.invalid` for what is no run.
    public init(_ folder: RunFolder) throws(SkalaError) {
        let (record, samples) = try folder.read()
        self.init(record, samples)
    }

    init(_ record: JSON, _ samples: [Sample]) {
        identifier = record["id"].string ?? ""
        self.record = record
        self.samples = samples
        experiments = (record["experiments"].array ?? []).map { ExperimentResults($0, samples) }
    }

    public subscript(name: String) -> ExperimentResults? { experiments.first { $0.name == name } }
}

/// What an experiment found.
public struct ExperimentResults: Sendable {
    public struct Finding: Sendable, Hashable {
        public let source: String
        public let text: String
        public let remark: String?
        /// What it says of our figures.
        public let expectations: [Expectation]
    }

    public let name: String
    public let title: String
    public let question: String
    public let caveats: [String]
    public let findings: [Finding]
    public fileprivate(set) var cases: [CaseResults]

    init(_ json: JSON, _ samples: [Sample]) {
        let name = json["name"].string ?? ""
        self.name = name
        title = json["title"].string ?? name
        question = json["question"].string ?? ""
        caveats = json["caveats"].strings ?? []
        findings = (json["findings"].array ?? []).map {
            Finding(
                source: $0["source"].string ?? "", text: $0["text"].string ?? "", remark: $0["remark"].string,
                expectations: ($0["expect"].array ?? []).compactMap { Expectation($0) })
        }
        let own = samples.filter { $0.experiment == name && $0.round > 0 }
        cases = (json["cases"].array ?? []).map { CaseResults($0, own) }
        decide()
    }

    /// Differences are called in the family of all comparisons of the experiment.
    private mutating func decide() {
        var places: [(item: Int, row: Int, measure: String)] = []
        var family: [Comparison] = []
        for (item, results) in cases.enumerated() {
            for (row, condition) in results.rows.enumerated() {
                for (measure, comparison) in condition.comparisons.sorted(by: { $0.key < $1.key }) {
                    places.append((item, row, measure))
                    family.append(comparison)
                }
            }
        }
        Comparison.decide(&family)
        for (place, comparison) in zip(places, family) {
            cases[place.item].rows[place.row].comparisons[place.measure] = comparison
        }
    }
}

/// What was found in a case: a row for each condition.
public struct CaseResults: Sendable {
    public struct Row: Sendable {
        public let condition: Condition
        /// By measure; only those with values.
        public let summaries: [String: Summary]
        /// With the condition it is compared with, by measure.
        public internal(set) var comparisons: [String: Comparison] = [:]
        /// Of trials without values, each once.
        public let failures: [String]
        /// So many of its trials had none.
        public let failed: Int
        public let trials: Int
        public let remarks: [String]
        public let samples: [Sample]

        /// It has no values in most of its trials.
        public var hasFailed: Bool { trials > 0 && failed * 2 >= trials }
        /// It was still at work at its deadline in most of them: a result, where a failure for another reason is none.
        public var isUnfinished: Bool { hasFailed && samples.count { $0.trial.isUnfinished } * 2 >= trials }
        /// It was killed for lack of memory in most of them: a result, too.
        public var wasKilled: Bool { hasFailed && samples.count { $0.trial.wasKilled } * 2 >= trials }
    }

    public let name: String
    public let title: String
    public let measures: [Measure]
    /// What the measures tell of, for the host's profile.
    public let resource: Resource?
    public let base: Condition.Factor
    public internal(set) var rows: [Row]

    init(_ json: JSON, _ samples: [Sample]) {
        let name = json["name"].string ?? ""
        self.name = name
        title = json["title"].string ?? name
        resource = json["resource"].string.flatMap(Resource.init)
        base = Condition.Factor(name: json["base"][0].string ?? "", value: json["base"][1].string ?? "")
        let own = samples.filter { $0.name == name }
        let conditions = (json["conditions"].array ?? []).map { member in
            Condition((member.stringPairs ?? []).map { ($0.key, $0.value) })
        }
        let measures = (json["measures"].array ?? []).compactMap { Measure($0) }
        self.measures = measures
        rows = conditions.map { condition in
            CaseResults.row(condition, own.filter { $0.condition == condition }, measures)
        }
        for measure in measures { compare(measure.name) }
    }

    private static func row(_ condition: Condition, _ samples: [Sample], _ measures: [Measure]) -> Row {
        var summaries: [String: Summary] = [:]
        for measure in measures {
            summaries[measure.name] = Summary(samples.compactMap { $0.trial.values[measure.name] })
        }
        func once(_ texts: [String]) -> [String] { Array(Set(texts)).sorted() }
        let failures = samples.compactMap(\.trial.failure)
        return Row(
            condition: condition, summaries: summaries, failures: once(failures), failed: failures.count,
            trials: samples.count, remarks: once(samples.flatMap(\.trial.remarks)), samples: samples)
    }

    private func blocks(_ measure: String) -> Blocks {
        Blocks(
            rows.map { row in
                Dictionary(
                    row.samples.compactMap { sample in sample.trial.values[measure].map { (sample.round, $0) } },
                    uniquingKeysWith: { _, last in last })
            })
    }

    private mutating func compare(_ measure: String) {
        let blocks = blocks(measure)
        for index in rows.indices {
            guard let base = base(of: index), rows[index].summaries[measure] != nil,
                rows[base].summaries[measure] != nil
            else { continue }
            rows[index].comparisons[measure] = blocks.compare(index, with: base)
        }
    }

    /// Two rows compared: as decided in the experiment's family where that compares them, otherwise alone. Nil without values.
    func comparison(of index: Int, with base: Int, _ measure: String) -> Comparison? {
        if base == self.base(of: index) { return rows[index].comparisons[measure] }
        guard rows[index].summaries[measure] != nil, rows[base].summaries[measure] != nil else { return nil }
        var family = [blocks(measure).compare(index, with: base)]
        Comparison.decide(&family)
        return family[0]
    }

    /// The row that a row is compared with; nil for that itself.
    public func base(of index: Int) -> Int? {
        let other = rows[index].condition.replacing(base.name, with: base.value)
        return other == rows[index].condition ? nil : rows.firstIndex { $0.condition == other }
    }
}
