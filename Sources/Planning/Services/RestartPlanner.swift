public import Base

/// Decides what follows the end of a task: a new one now, a new one later, or none.
///
/// A **crash** is the end of a task that had served for a while: it is replaced at once, since waiting would only lengthen the
/// outage. A **crash loop** is several short lives in a row: there the wait doubles from one to the next, since what does not
/// start would otherwise take the node's time from what does. A task that lasts ends the loop.
///
///     life    ▇▇▇▇▇▇▇▇▇▇▇ ✕ ▇ ✕   ▇ ✕       ▇ ✕               ▇▇▇▇▇▇▇▇▇▇▇ ✕ ▇▇
///     wait                0   100 ms  200 ms    400 ms                    0
///     short lives         0   1       2         3 = a loop                0
public struct RestartPlanner: Sendable, Hashable {
    /// A shorter life, in nanoseconds, counts towards a loop.
    public var stableAfter: Int64
    /// The wait after the first short life, in nanoseconds; it doubles with each that follows.
    public var firstDelay: Int64
    public var longestDelay: Int64
    /// So many short lives in a row are called a loop.
    public var loopLength: Int

    /// The waits are those of containers with a restart policy.
    public init(
        stableAfter: Int64 = 10_000_000_000, firstDelay: Int64 = 100_000_000, longestDelay: Int64 = 60_000_000_000,
        loopLength: Int = 3
    ) {
        self.stableAfter = stableAfter
        self.firstDelay = firstDelay
        self.longestDelay = longestDelay
        self.loopLength = loopLength
    }

    public enum Decision: Sendable, Hashable {
        /// Start the successor with this history.
        case now(RestartHistory, reason: String)
        /// Ask again then.
        case at(Timestamp, reason: String)
        case never(reason: String)
    }

    /// - Parameters:
    ///   - fault: what ended it; nil when it completed.
    ///   - task: ended, or about to be stopped because of its fault.
    public func decide(_ policy: TaskRestartPolicy, after fault: Fault?, of task: ObservedTask, at now: Timestamp)
        -> Decision
    {
        // Nobody's fault: the successor starts where this one started.
        if let fault, !fault.isOwn { return .now(task.history, reason: fault.description) }
        let end = fault?.description ?? "completed"
        switch policy.condition {
        case .none: return .never(reason: "\(end); its restart condition is none")
        case .onFailure where fault == nil: return .never(reason: "completed")
        case .onFailure, .any: break
        }
        var history = task.history
        // An active one that has to go is judged at its end, which is now.
        let endedAt = task.state.isActive ? now : task.stateSince
        history.shortLives = task.lifetime(at: now) < stableAfter ? history.shortLives + 1 : 0
        if let began = history.windowBegan, policy.window > 0, endedAt.nanoseconds(since: began) >= policy.window {
            history.restarts = 0
            history.windowBegan = nil
        }
        if policy.maximumAttempts > 0, history.restarts >= policy.maximumAttempts {
            return .never(reason: "\(end); given up after \(Text.count(history.restarts, "restart"))")
        }
        history.restarts += 1
        history.windowBegan = history.windowBegan ?? endedAt
        let reason =
            history.shortLives < loopLength ? end : "crash loop: \(history.shortLives) short lives in a row; \(end)"
        // A task that is still active is stopped first, in the same plan: its end starts the wait.
        let due = endedAt.advanced(by: delay(policy, history.shortLives))
        return due > now ? .at(due, reason: reason) : .now(history, reason: reason)
    }

    /// The wait after so many short lives, in nanoseconds: never less than what the user asked for.
    func delay(_ policy: TaskRestartPolicy, _ shortLives: Int) -> Int64 {
        guard shortLives > 0 else { return policy.delay ?? 0 }
        let (doubled, overflow) = firstDelay.multipliedReportingOverflow(by: 1 << min(shortLives - 1, 40))
        return max(overflow ? longestDelay : min(doubled, longestDelay), policy.delay ?? 0)
    }
}
