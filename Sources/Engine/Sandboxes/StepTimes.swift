import Kernel

/// How long the steps of something took, for the log.
struct StepTimes: CustomStringConvertible {
    private var last = SystemClock.monotonicNanoseconds()
    private var steps: [(name: String, nanoseconds: Int64)] = []

    /// The step that began with the end of the last one is done.
    mutating func end(_ name: String) {
        let now = SystemClock.monotonicNanoseconds()
        steps.append((name, now - last))
        last = now
    }

    /// In milliseconds: `image 0.1, disk 2.3, clone 81.0`.
    var description: String {
        steps.map { "\($0.name) \(Double($0.nanoseconds / 100_000) / 10) ms" }.joined(separator: ", ")
    }
}
