/// What is wrong with a task, so that it has to be replaced.
public enum Fault: Sendable, Hashable, CustomStringConvertible {
    /// Its process ended, with this code when that is known.
    case exit(code: Int?, message: String)
    /// It never ran: its node refused it, or could not make it.
    case rejected(message: String)
    /// Its health checks fail.
    case unhealthy
    /// No sign of life for so many nanoseconds.
    case hung(silent: Int64)
    /// It is in this state for so many nanoseconds.
    case stuck(TaskState, after: Int64)
    case nodeDown
    /// Its node answers, and has lost it.
    case lost(message: String)

    /// Whether the task itself is to blame, rather than the node it was on.
    public var isOwn: Bool {
        switch self {
        case .exit, .rejected, .unhealthy, .hung, .stuck: true
        case .nodeDown, .lost: false
        }
    }

    /// Whether its process is there and does nothing, as far as one can tell.
    public var isHang: Bool {
        switch self {
        case .unhealthy, .hung: true
        case .exit, .rejected, .stuck, .nodeDown, .lost: false
        }
    }

    public var description: String {
        switch self {
        case .exit(let code, let message):
            (code.map { "exit code \($0)" } ?? "ended") + (message.isEmpty ? "" : " (\(message))")
        case .rejected(let message): "could not be started" + (message.isEmpty ? "" : " (\(message))")
        case .unhealthy: "unhealthy"
        case .hung(let silent): "no sign of life for \(Text.duration(silent))"
        case .stuck(let state, let after): "still \(state.rawValue) after \(Text.duration(after))"
        case .nodeDown: "its node is down"
        case .lost(let message): "its node lost it" + (message.isEmpty ? "" : " (\(message))")
        }
    }
}
