public import Base

/// How far a rollout is: the API's `UpdateStatus`. The only thing that is kept of one besides its tasks.
///
///            ┌──────────── all serve, watched ───────────▶ completed
///     updating ── failed too often ──┬──▶ paused
///                                    └──▶ rollbackStarted ── all serve ──▶ rollbackCompleted
///                                                └── failed too often ──▶ rollbackPaused
public struct RolloutStatus: Sendable, Hashable {
    public enum State: String, Sendable, Hashable, CaseIterable {
        case updating, paused, completed
        case rollbackStarted = "rollback_started"
        case rollbackPaused = "rollback_paused"
        case rollbackCompleted = "rollback_completed"

        public var isRolling: Bool { self == .updating || self == .rollbackStarted }
        public var isPaused: Bool { self == .paused || self == .rollbackPaused }
        public var isRollback: Bool {
            self == .rollbackStarted || self == .rollbackPaused || self == .rollbackCompleted
        }
    }

    public var state: State
    public var startedAt: Timestamp
    public var completedAt: Timestamp?
    public var message: String

    public init(state: State, startedAt: Timestamp, completedAt: Timestamp? = nil, message: String = "") {
        self.state = state
        self.startedAt = startedAt
        self.completedAt = completedAt
        self.message = message
    }
}
