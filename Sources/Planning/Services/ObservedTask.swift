public import Base

/// A task as the planners see it: what was asked of it, and how far it is. Nothing of it is remembered between two plans.
public struct ObservedTask: Sendable, Hashable {
    /// What its node can do for it.
    public enum NodeCondition: Sendable, Hashable {
        case ready
        /// The node shall become empty: the task moves when its successor serves.
        case draining
        /// The node does not answer: nothing is known of the task, and it counts as ended.
        case down
    }

    public var id: String
    public var slot: Slot
    /// Which specification it was made from. The same template has the same number, also when a rollback brings it back.
    public var version: UInt64
    /// `running` only when its first health check has succeeded; until then it is `starting`.
    public var state: TaskState
    /// False once it was told to stop.
    public var isWanted: Bool
    /// Nil until it is assigned.
    public var node: String?
    public var nodeCondition: NodeCondition
    /// False when its health checks have failed as often as they may.
    public var isHealthy: Bool
    /// Its VM stands still until its node has room again for what it writes.
    public var isStalled: Bool
    public var createdAt: Timestamp
    /// When it came into its state.
    public var stateSince: Timestamp
    /// When it first ran; kept after its end.
    public var runningSince: Timestamp?
    /// Its last sign of life (an answered check, output, a report of its node); nil: nobody listens for one.
    public var lastSign: Timestamp?
    /// Of its process; nil when it did not end by itself.
    public var exitCode: Int?
    /// Why it failed, as its node says.
    public var message: String
    /// What `ServicePlan.Start` gave it.
    public var history: RestartHistory

    public init(
        id: String, slot: Slot, version: UInt64, state: TaskState = .new, isWanted: Bool = true, node: String? = nil,
        nodeCondition: NodeCondition = .ready, isHealthy: Bool = true, isStalled: Bool = false, createdAt: Timestamp,
        stateSince: Timestamp? = nil, runningSince: Timestamp? = nil, lastSign: Timestamp? = nil, exitCode: Int? = nil,
        message: String = "", history: RestartHistory = RestartHistory()
    ) {
        self.id = id
        self.slot = slot
        self.version = version
        self.state = state
        self.isWanted = isWanted
        self.node = node
        self.nodeCondition = nodeCondition
        self.isHealthy = isHealthy
        self.isStalled = isStalled
        self.createdAt = createdAt
        self.stateSince = stateSince ?? createdAt
        self.runningSince = runningSince
        self.lastSign = lastSign
        self.exitCode = exitCode
        self.message = message
        self.history = history
    }

    /// Whether it holds resources of a node that answers.
    public var isActive: Bool { state.isActive && nodeCondition != .down }
}
