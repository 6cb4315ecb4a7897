import Base
public import Planning

/// How an instance of an experiment is isolated.
public enum LabIsolation: String, Sendable, CaseIterable {
    /// Not at all: the image's files, run on the host's kernel without limits or a network of its own. The baseline.
    case process
    case container, pod, microvm
    /// A VM with its own disk, made of the image's files, and firmware.
    case machine
}

/// How an instance is given its resources.
public enum LabAllocation: String, Sendable, CaseIterable {
    /// Cores of its own, its memory reserved.
    case dedicated
    /// Any core, by equal weights; a memory limit.
    case shared
    /// Any core, at most so much time of it (a quota); a memory limit.
    case hard
    /// Any core, by equal weights; memory is reserved, not limited.
    case soft
}

/// A quantity that is measured.
public struct Measure: Sendable, Hashable {
    public enum Direction: String, Sendable, CaseIterable {
        case higher, lower
        /// Neither is better.
        case neither
    }

    public let name: String
    public let unit: String
    public let better: Direction

    public init(_ name: String, unit: String, better: Direction) {
        self.name = name
        self.unit = unit
        self.better = better
    }
}

extension Measure {
    var json: JSON { ["name": JSON(name), "unit": JSON(unit), "better": JSON(better.rawValue)] }

    /// Nil when it is not what `json` makes.
    init?(_ json: JSON) {
        guard let name = json["name"].string, let unit = json["unit"].string,
            let better = json["better"].string.flatMap(Direction.init)
        else { return nil }
        self.init(name, unit: unit, better: better)
    }
}

/// What was varied, and its value, in the order of the experiment: `isolation=microvm allocation=shared`.
public struct Condition: Sendable, Hashable, CustomStringConvertible {
    public struct Factor: Sendable, Hashable {
        public let name: String
        public let value: String
    }

    public let factors: [Factor]

    public init(_ factors: [(name: String, value: String)]) {
        self.factors = factors.map { Factor(name: $0.name, value: $0.value) }
    }

    public subscript(name: String) -> String? { factors.first { $0.name == name }?.value }

    /// The same with another value of one factor.
    func replacing(_ name: String, with value: String) -> Condition {
        Condition(factors.map { ($0.name, $0.name == name ? value : $0.value) })
    }

    var json: JSON { .object(JSONObject(factors.map { ($0.name, JSON($0.value)) })) }

    public var description: String { factors.map(\.value).joined(separator: ", ") }
}

/// The conditions that are compared with each other, and so measured in turn: those of one workload, say.
public struct Case: Sendable {
    public let name: String
    public let title: String
    public let conditions: [Condition]
    public let measures: [Measure]
    /// Each condition is compared with the one that has this value of this factor, and is the same in all others.
    public let base: Condition.Factor
    /// What its measures tell of, for the host's profile.
    public let resource: Resource?
    /// A trial's expected time in nanoseconds: the first guess of the time left.
    let expected: Int64

    init(
        _ name: String, title: String, conditions: [Condition], measures: [Measure],
        base: (name: String, value: String), resource: Resource? = nil, expected: Int64
    ) {
        self.name = name
        self.title = title
        self.conditions = conditions
        self.measures = measures
        self.base = Condition.Factor(name: base.name, value: base.value)
        self.resource = resource
        self.expected = expected
    }

    var hasMachines: Bool { conditions.contains { $0["isolation"] == LabIsolation.machine.rawValue } }

    /// Each condition twice, as `a` and `b` of the factor `copy`, and b compared with a.
    var againstItself: Case {
        let copies = conditions.flatMap { condition in
            ["a", "b"].map { copy in Condition(condition.factors.map { ($0.name, $0.value) } + [("copy", copy)]) }
        }
        return Case(
            name, title: title, conditions: copies, measures: measures, base: ("copy", "a"), resource: resource,
            expected: expected)
    }

    /// What a condition is compared with; nil for that itself.
    public func base(of condition: Condition) -> Condition? {
        let other = condition.replacing(base.name, with: base.value)
        return other != condition && conditions.contains(other) ? other : nil
    }
}
