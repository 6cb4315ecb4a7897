import Base

/// A service as its planner sees it: what is wanted, and every task there is of it, ended ones that are kept included.
public struct ObservedService: Sendable, Hashable {
    public enum Wanted: Sendable, Hashable {
        /// So many tasks, anywhere.
        case replicas(Int)
        /// One task on each of these nodes.
        case nodes([String])

        var count: Int {
            switch self {
            case .replicas(let count): max(0, count)
            case .nodes(let ids): ids.count
            }
        }
    }

    public var wanted: Wanted
    /// Of the specification that tasks shall have.
    public var version: UInt64
    /// Of the one before, which a rollback goes back to; nil: there is none.
    public var previousVersion: UInt64?
    public var update: UpdateConfig
    public var rollback: UpdateConfig
    public var restart: TaskRestartPolicy
    /// Of the last plan. Nil at first, and again when a user changes the service, which ends a pause.
    public var rollout: RolloutStatus?
    /// Why no task of `version` can run on any node, whatever else ends; nil when it can. Then those of another version are
    /// not stopped for it.
    public var impossibility: String?
    public var tasks: [ObservedTask]

    public init(
        wanted: Wanted, version: UInt64, previousVersion: UInt64? = nil, update: UpdateConfig = UpdateConfig(),
        rollback: UpdateConfig = UpdateConfig(), restart: TaskRestartPolicy = TaskRestartPolicy(),
        rollout: RolloutStatus? = nil, impossibility: String? = nil, tasks: [ObservedTask]
    ) {
        self.impossibility = impossibility
        self.wanted = wanted
        self.version = version
        self.previousVersion = previousVersion
        self.update = update
        self.rollback = rollback
        self.restart = restart
        self.rollout = rollout
        self.tasks = tasks
    }
}
