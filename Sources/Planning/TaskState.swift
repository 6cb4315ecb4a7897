/// How far a task is, by the words and in the order of the Docker Engine API (`TaskState`): a task only ever goes on to a
/// later one.
public enum TaskState: String, Sendable, Hashable, CaseIterable, Comparable {
    // Wanted, and on its way to a node.
    case new, allocated, pending, assigned
    // Taken by its node, and made there.
    case accepted, preparing, ready, starting
    case running
    // Ended: by itself, by request, with an error, or never started.
    case complete, shutdown, failed, rejected
    // To be removed with its container; and of a node that is gone.
    case remove, orphaned

    /// Whether it holds, or will hold, its node's resources.
    public var isActive: Bool { self <= .running }

    public static func < (left: TaskState, right: TaskState) -> Bool { left.order < right.order }

    private var order: Int { TaskState.allCases.firstIndex(of: self) ?? 0 }
}
