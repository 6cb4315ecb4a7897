/// Tries again, in the background, what could not be removed: a kernel call may fail for a moment (no memory, a group that
/// is still being emptied), and what stays would stay until the daemon's restart.
public enum BackgroundRetry {
    /// In milliseconds; 21 seconds in all.
    public static let pauses: [Int64] = [50, 200, 1000, 4000, 16_000]

    /// Calls `body` after each pause until it answers true.
    public static func start(_ body: @escaping @Sendable () async -> Bool) {
        Task {
            for pause in pauses {
                try? await Task.sleep(nanoseconds: UInt64(pause) * 1_000_000)  // never cancelled
                if await body() { return }
            }
        }
    }
}
