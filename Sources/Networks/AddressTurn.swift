import Glibc
import Kernel

/// One engine after another chooses the addresses of a network: two that look at the same time find the same ones free.
///
/// The lock is on the network namespace itself, which is what the addresses must be free in.
enum AddressTurn {
    /// Of an engine that was stopped in the middle; without the lock two engines only might collide.
    private static let patience: Int64 = 5_000_000_000

    /// Waits for the others, without keeping a thread from them.
    ///
    /// - Returns: the turn, until closed; nil when another engine does not end its own.
    /// - Throws: `CancellationError` when the caller gives up.
    static func take() async throws -> OwnedDescriptor? {
        guard let namespace = try? OwnedDescriptor.open("/proc/self/ns/net", O_RDONLY) else { return nil }
        let deadline = SystemClock.monotonicNanoseconds() + patience
        while flock(namespace.raw, LOCK_EX | LOCK_NB) != 0 {
            guard errno == EWOULDBLOCK, SystemClock.monotonicNanoseconds() < deadline else { return nil }
            try await Task.sleep(nanoseconds: 2_000_000)
        }
        return namespace
    }
}
