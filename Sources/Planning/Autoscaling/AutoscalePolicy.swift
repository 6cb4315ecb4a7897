/// How a service's tasks follow its load.
public struct AutoscalePolicy: Sendable, Hashable {
    /// 0: it may sleep while nobody asks; the first request wakes it.
    public var minimum: Int
    public var maximum: Int
    /// What each signal shall be, in its unit. The one that wants most decides.
    public var targets: [Signal: Double]
    /// So far from its target a signal may be without anything happening, as a part of the target.
    public var tolerance: Double
    /// Up at once, but at most to so many times as many tasks …
    public var stepFactor: Double
    /// … or to so many more, whatever is more.
    public var stepTasks: Int
    /// Nanoseconds from one step up to the next, so that the new tasks are seen first.
    public var stepInterval: Int64
    /// Nanoseconds over which fewer tasks must have been enough before there are fewer.
    public var scaleDownAfter: Int64
    /// Older samples, in nanoseconds, say nothing.
    public var sampleLifetime: Int64

    public init(
        minimum: Int = 1, maximum: Int, targets: [Signal: Double], tolerance: Double = 0.1, stepFactor: Double = 2,
        stepTasks: Int = 4, stepInterval: Int64 = 1_500_000_000, scaleDownAfter: Int64 = 60_000_000_000,
        sampleLifetime: Int64 = 5_000_000_000
    ) {
        self.minimum = max(0, minimum)
        self.maximum = max(1, minimum, maximum)
        // What has no target in the world of numbers has none.
        self.targets = targets.filter { $0.value > 0 && $0.value.isFinite }
        self.tolerance = max(0, tolerance)
        self.stepFactor = max(1, stepFactor)
        self.stepTasks = max(1, stepTasks)
        self.stepInterval = max(0, stepInterval)
        self.scaleDownAfter = max(0, scaleDownAfter)
        self.sampleLifetime = max(0, sampleLifetime)
    }
}
