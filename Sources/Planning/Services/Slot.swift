/// The place of a service that one task at a time holds: a replica's number, or a global service's node.
///
/// It outlives its tasks: what replaces a task has its slot, so that names and histories go on.
public enum Slot: Sendable, Hashable, Comparable, CustomStringConvertible {
    /// Counted from 1.
    case replica(Int)
    /// The node's id.
    case node(String)

    public static func < (left: Slot, right: Slot) -> Bool {
        switch (left, right) {
        case (.replica(let left), .replica(let right)): left < right
        case (.node(let left), .node(let right)): left < right
        case (.replica, .node): true
        case (.node, .replica): false
        }
    }

    /// As names of tasks hold it: `web.3`, `web.NODE`.
    public var description: String {
        switch self {
        case .replica(let number): String(number)
        case .node(let id): id
        }
    }
}
