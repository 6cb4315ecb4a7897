public import Base

/// What has to be done for a service now, and when to ask again.
///
/// Carrying out a part of it, or all of it twice, does no harm: the next plan follows from what is there then.
public struct ServicePlan: Sendable, Hashable {
    public enum StopReason: Sendable, Hashable {
        /// A task of another version takes its place.
        case updated
        /// Fewer replicas are wanted, or its node is no longer one for the service.
        case scaledDown
        /// Its successor serves.
        case replaced
        /// Its node shall be empty, and no successor has come up elsewhere.
        case drained
    }

    /// A task to be made, given a node, and started.
    public struct Start: Sendable, Hashable {
        public var slot: Slot
        /// The service's `version` or `previousVersion`.
        public var version: UInt64
        /// To be stored with the task.
        public var history: RestartHistory
        public var reason: String
    }

    public enum Action: Sendable, Hashable {
        case start(Start)
        /// The task is no longer wanted: out of the balancer, drained, stopped, gone. Ended ones are told, too.
        case stop(task: String, reason: StopReason)
        /// The task is broken though it is active: out of the balancer, stopped, `failed`. It stays wanted, so that its
        /// successor's wait follows from its end.
        case fail(task: String, fault: Fault)
        /// The previous specification becomes the specification and the other way round, and the plan's `rollout` is stored,
        /// both in one transaction; then plan again.
        case rollBack(reason: String)
    }

    /// What is true of a slot, for `service explain`.
    public struct Note: Sendable, Hashable {
        public var slot: Slot
        public var text: String
    }

    public var actions: [Action] = []
    /// To be stored with, or before, the actions.
    public var rollout: RolloutStatus?
    /// When to plan again though no task has changed; nil: not before.
    public var wakeAt: Timestamp?
    public var notes: [Note] = []
    /// Slots whose task serves.
    public var serving = 0
    /// Whether nothing is left to do and nothing is waited for.
    public var isSettled: Bool { actions.isEmpty && wakeAt == nil }

    mutating func wake(at time: Timestamp?) {
        guard let time else { return }
        wakeAt = min(wakeAt ?? time, time)
    }
}
