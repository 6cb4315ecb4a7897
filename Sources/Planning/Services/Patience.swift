/// How long tasks may take before they count as broken. Nanoseconds, all of them.
public struct Patience: Sendable, Hashable {
    /// From accepted to started: an image may have to be pulled.
    public var preparing: Int64
    /// From started to running, that is to the first health check that succeeds.
    public var starting: Int64
    /// Without a sign of life, of a task that gives them.
    public var silence: Int64
    /// For the successor of a task on a draining node; after that the task is stopped without one.
    public var draining: Int64

    public init(
        preparing: Int64 = 600_000_000_000, starting: Int64 = 120_000_000_000, silence: Int64 = 10_000_000_000,
        draining: Int64 = 60_000_000_000
    ) {
        self.preparing = preparing
        self.starting = starting
        self.silence = silence
        self.draining = draining
    }
}
