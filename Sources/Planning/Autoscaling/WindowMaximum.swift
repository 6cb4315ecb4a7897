import Base

/// The largest of the numbers of a window of time. Each number is kept only while it can still become the largest, so that the
/// largest is always in front, whatever the window's length and the numbers' rate.
struct WindowMaximum: Sendable, Hashable {
    private var kept: [(at: Timestamp, value: Int)] = []

    /// The largest, and when it was added last.
    var largest: (at: Timestamp, value: Int)? { kept.first }

    /// Adds a number, and forgets those that are older than `window` nanoseconds.
    mutating func add(_ value: Int, at now: Timestamp, window: Int64) {
        while let last = kept.last, last.value <= value { kept.removeLast() }
        kept.append((now, value))
        kept.removeFirst(kept.firstIndex { now.nanoseconds(since: $0.at) < window } ?? kept.count - 1)
    }

    static func == (left: WindowMaximum, right: WindowMaximum) -> Bool {
        left.kept.elementsEqual(right.kept) { $0.at == $1.at && $0.value == $1.value }
    }

    func hash(into hasher: inout Hasher) {
        for (at, value) in kept {
            hasher.combine(at)
            hasher.combine(value)
        }
    }
}
