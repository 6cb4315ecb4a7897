import Synchronization

/// Tells work on another thread that nobody waits for it any more.
public final class Cancellation: Sendable {
    private let state = Mutex(false)
    public init() {}
    public var isCancelled: Bool { state.withLock { $0 } }
    public func cancel() { state.withLock { $0 = true } }
}
