/// How much a warden that is not trusted may say unasked: so many frames at once, and so many a second afterwards. An
/// honest one tells of ends of containers and execs, and of memory that ran out.
struct FrameBudget {
    /// Frames.
    private static let burst = 1000.0
    private static let perSecond = 100.0

    private var left = FrameBudget.burst
    private var last: Int64

    /// - Parameter now: nanoseconds on the monotonic clock, here and later.
    init(now: Int64) { last = now }

    /// Counts one frame.
    ///
    /// - Returns: whether it is within the budget.
    mutating func spend(now: Int64) -> Bool {
        left = min(FrameBudget.burst, left + Double(now - last) / 1e9 * FrameBudget.perSecond)
        last = now
        guard left >= 1 else { return false }
        left -= 1
        return true
    }
}
