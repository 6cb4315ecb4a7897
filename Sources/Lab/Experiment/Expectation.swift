import Base
import YAML

/// A finding of others in a form that can be held against our figures: `{ is: worse, factor: 8, case: disk, when: {isolation: container} }`.
public struct Expectation: Sendable, Hashable {
    public enum Outcome: String, Sendable, CaseIterable {
        /// No notable difference.
        case same
        case worse, better
        /// It did not end in reasonable time.
        case unfinished
    }

    public let outcome: Outcome
    /// So many times worse, or better; nil where it is not told.
    public let factor: Double?
    /// Names of cases; all where it is empty.
    public let cases: [String]
    /// The first of each case where it is nil.
    public let measure: String?
    /// Conditions that have these values.
    public let when: [Condition.Factor]
    /// They are compared with those that have these values instead; with the case's base where it is empty.
    public let against: [Condition.Factor]

    init(_ value: YAMLValue) throws(SkalaError) {
        try value.allowOnly(["is", "factor", "case", "measure", "when", "against"])
        let spec = SpecReader(value, quick: nil)
        let word = try spec.required("is").word(Outcome.allCases.map(\.rawValue))
        outcome = Outcome(rawValue: word) ?? .same
        factor = try value["factor"]?.number()
        if let factor, factor <= 1 { throw value.fault("'factor' is more than 1: so many times worse or better") }
        if factor != nil, outcome != .worse, outcome != .better {
            throw value.fault("'factor' goes with 'is: worse' and 'is: better'")
        }
        cases =
            try value["case"].map { (cases) throws(SkalaError) in
                cases.isList ? try cases.strings() : [try cases.string()]
            } ?? []
        measure = try value["measure"]?.string()
        when = try Expectation.factors(value["when"])
        against = try Expectation.factors(value["against"])
    }

    private static func factors(_ value: YAMLValue?) throws(SkalaError) -> [Condition.Factor] {
        var factors: [Condition.Factor] = []
        for (name, value) in try value?.entries() ?? [] {
            factors.append(Condition.Factor(name: name, value: try value.string()))
        }
        return factors
    }
}

extension Expectation {
    var json: JSON {
        var json: JSON = ["is": JSON(outcome.rawValue)]
        if let factor { json["factor"] = JSON(factor) }
        if !cases.isEmpty { json["case"] = JSON(cases) }
        if let measure { json["measure"] = JSON(measure) }
        for (key, factors) in [("when", when), ("against", against)] where !factors.isEmpty {
            json[key] = .object(JSONObject(factors.map { ($0.name, JSON($0.value)) }))
        }
        return json
    }

    /// Nil when it is not what `json` makes.
    init?(_ json: JSON) {
        guard let outcome = json["is"].string.flatMap(Outcome.init) else { return nil }
        self.outcome = outcome
        factor = json["factor"].double
        cases = json["case"].strings ?? []
        measure = json["measure"].string
        when = (json["when"].stringPairs ?? []).map { Condition.Factor(name: $0.key, value: $0.value) }
        against = (json["against"].stringPairs ?? []).map { Condition.Factor(name: $0.key, value: $0.value) }
    }
}
