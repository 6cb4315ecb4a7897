public import Base

extension ObservedTask {
    /// What a task is to its service.
    public enum Condition: Sendable, Hashable {
        /// On its way; broken at this time if it is not further by then.
        case starting(deadline: Timestamp?)
        /// It runs, and requests may be sent to it; broken at this time if it gives no sign of life by then.
        case serving(deadline: Timestamp?)
        /// It ended by itself without an error.
        case complete
        /// It has to be replaced.
        case broken(Fault)
        /// It was told to stop; active or not.
        case stopped
    }

    /// Judges the task. Pure: the same task at the same time is judged alike, whoever asks.
    public func condition(at now: Timestamp, _ patience: Patience) -> Condition {
        if !isWanted { return .stopped }
        if nodeCondition == .down, state.isActive { return .broken(.nodeDown) }
        // Another one would stand still there, too; this one goes on by itself, and has lost nothing.
        if isStalled, state == .starting || state == .running { return .starting(deadline: nil) }
        switch state {
        case .new, .allocated, .pending, .assigned: return .starting(deadline: nil)
        case .accepted, .preparing, .ready: return waiting(patience.preparing, now)
        case .starting: return isHealthy ? waiting(patience.starting, now) : .broken(.unhealthy)
        case .running:
            if !isHealthy { return .broken(.unhealthy) }
            guard let lastSign else { return .serving(deadline: nil) }
            let deadline = lastSign.advanced(by: patience.silence)
            return deadline > now
                ? .serving(deadline: deadline) : .broken(.hung(silent: now.nanoseconds(since: lastSign)))
        case .complete: return .complete
        case .failed: return .broken(.exit(code: exitCode, message: message))
        case .rejected: return .broken(.rejected(message: message))
        case .orphaned: return .broken(.lost(message: message))
        // Told to stop by somebody else than the planner: by hand, with the node.
        case .shutdown, .remove: return .broken(.exit(code: exitCode, message: message))
        }
    }

    private func waiting(_ time: Int64, _ now: Timestamp) -> Condition {
        let deadline = stateSince.advanced(by: time)
        return deadline > now ? .starting(deadline: deadline) : .broken(.stuck(state, after: time))
    }

    /// How long it ran, until its end or until now.
    func lifetime(at now: Timestamp) -> Int64 {
        guard let runningSince else { return 0 }
        return max(0, (state.isActive ? now : stateSince).nanoseconds(since: runningSince))
    }
}
