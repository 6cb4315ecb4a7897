public import Base

/// What a slot's tasks have been through, carried from a task to its successor: how often it was started again, and how many
/// lives in a row were short. Stored with the task, so that a new daemon backs off where the old one was.
public struct RestartHistory: Sendable, Hashable {
    /// Tasks in a row, up to the one before this, that ended soon after they started.
    public var shortLives: Int
    /// Starts again within the policy's window.
    public var restarts: Int
    /// When the window began; nil: no start again yet.
    public var windowBegan: Timestamp?

    public init(shortLives: Int = 0, restarts: Int = 0, windowBegan: Timestamp? = nil) {
        self.shortLives = shortLives
        self.restarts = restarts
        self.windowBegan = windowBegan
    }
}
