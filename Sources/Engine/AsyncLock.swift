import Kernel

/// A lock that suspends instead of blocking; waiters are served in order.
///
/// An actor lets other calls in at every `await`; the steps of one lifecycle operation (start, stop, remove) must not
/// interleave with another's.
final class AsyncLock: Sendable {
    private let semaphore = AsyncSemaphore(limit: 1)

    /// Runs `body`, in the caller's isolation, while no other body runs.
    func withLock<Value>(
        isolation: isolated (any Actor)? = #isolation, _ body: () async throws -> Value
    ) async rethrows -> Value {
        try await semaphore.withPlace(isolation: isolation, body)
    }
}
