import Base
public import Planning

/// The way an experiment is done: what its conditions are, and how a trial of one of them goes.
protocol Procedure: Sendable {
    /// The keys of `experiment.yaml` it reads, beside those that all have.
    static var keys: Set<String> { get }

    /// Whether peers can be put in as further columns.
    static var takesPeers: Bool { get }

    /// - Parameter images: the names of the experiment's images.
    init(_ spec: SpecReader, images: Set<String>) throws(SkalaError)

    /// All cases, as far as the scope lets them be measured.
    func cases(_ scope: Scope) -> [Case]

    /// What cannot be measured in this scope, and why: for people, before anything starts.
    func obstacles(_ scope: Scope) -> [String]

    /// Measures once under a condition. Leaves nothing behind, however it ends.
    ///
    /// - Throws: `.cancelled` when the user stops; anything else ends the case.
    func trial(_ condition: Condition, of name: String, in bench: Bench) throws -> Trial
}

extension Procedure {
    static var takesPeers: Bool { false }
}

/// What a trial found.
public struct Trial: Sendable, Hashable {
    /// By measure.
    public var values: [String: Double] = [:]
    /// Why there are no values: it did not finish by its deadline, say. A result as well.
    public var failure: String?
    /// It was still at work at its deadline; false when it could not be measured for another reason.
    public var isUnfinished = false
    /// Something of it was killed for lack of memory: a result as well.
    public var wasKilled = false
    /// Numbers over time, by name.
    public var series: [String: [Double]] = [:]
    /// What should be known of it.
    public var remarks: [String] = []

    public init(values: [String: Double] = [:], failure: String? = nil) {
        self.values = values
        self.failure = failure
    }

    /// One that was still at work after so many nanoseconds.
    static func unfinished(after deadline: Int64) -> Trial {
        var trial = Trial(failure: "did not finish within \(deadline / 1_000_000_000) s")
        trial.isUnfinished = true
        return trial
    }

    /// One of which something was killed for lack of memory.
    static func killed(_ reason: String) -> Trial {
        var trial = Trial(failure: "was killed: " + reason)
        trial.wasKilled = true
        return trial
    }
}

/// What of an experiment is measured: what this host can do, and the user asked for.
public struct Scope: Sendable {
    public internal(set) var isolations: Set<LabIsolation>
    public let allocations: Set<LabAllocation>
    /// Online processors.
    public let processors: Int
    /// Bytes.
    public let memory: Int64
    /// Cases to be measured; all when it is empty.
    public let cases: Set<String>
    /// What the engine knows of the host; nil when it knows nothing.
    public let profile: HostProfile?
    /// Further columns.
    public var peers: [Peer] = []
    /// Why no fence can be put around instances; nil when one can.
    public let fenceObstacle: String?

    public init(
        isolations: Set<LabIsolation>, allocations: Set<LabAllocation>, processors: Int, memory: Int64,
        cases: Set<String> = [], profile: HostProfile? = nil, fenceObstacle: String? = nil
    ) {
        self.isolations = isolations
        self.allocations = allocations
        self.processors = processors
        self.memory = memory
        self.cases = cases
        self.profile = profile
        self.fenceObstacle = fenceObstacle
    }

    func with(_ peers: [Peer]) -> Scope {
        var scope = self
        scope.peers = peers
        return scope
    }

    /// Who runs instances: Skala at these isolations, as far as they are measured, then the peers.
    func runners(_ isolations: [LabIsolation]) -> [Runner] {
        isolations.filter(self.isolations.contains).map { .skala($0) } + peers.map { .peer($0) }
    }
}

enum Procedures {
    static let all: [String: any Procedure.Type] = [
        "workload": WorkloadProcedure.self, "startup": StartProcedure.self, "density": DensityProcedure.self,
        "load": LoadProcedure.self, "scale-up": ScaleUpProcedure.self, "move": MoveProcedure.self,
        "group": GroupProcedure.self, "placement": PlacementProcedure.self,
    ]
}
