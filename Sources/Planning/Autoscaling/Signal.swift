/// What an autoscaler looks at.
public enum Signal: String, Sendable, Hashable, CaseIterable {
    /// Percent of what a task may use, mean over the tasks.
    case cpu
    /// Percent of what a task may use, mean over the tasks.
    case memory
    /// Of the service, those held included; the target is for one task.
    case requestsPerSecond = "requests-per-second"
    /// Requests under way of the service, those held included; the target is for one task.
    case concurrency
    /// Milliseconds, of the service.
    case latencyP95 = "latency-p95"
    /// Percent of the time in which something of a task waited for CPU, memory or disk, mean over the tasks.
    case pressure

    enum Kind {
        /// A mean over the tasks: with twice as many tasks half of it is left.
        case share
        /// A sum over the tasks, known also when there is none.
        case total
        /// It says that there are too few tasks, but hardly how many too many.
        case symptom
    }

    var kind: Kind {
        switch self {
        case .cpu, .memory: .share
        case .requestsPerSecond, .concurrency: .total
        case .latencyP95, .pressure: .symptom
        }
    }

    func text(_ value: Double) -> String {
        switch self {
        case .cpu, .memory, .pressure: Text.number(value) + "%"
        case .requestsPerSecond: Text.number(value) + "/s"
        case .concurrency: Text.number(value)
        case .latencyP95: Text.number(value) + "ms"
        }
    }
}
