public import Base

/// How much load there is at each moment: a line through stages, of users that wait for their answers (closed loop) or of
/// requests a second that come whatever the answers do (open loop).
public struct LoadProfile: Sendable, Hashable {
    public enum Quantity: Sendable, Hashable {
        /// So many requests are under way at any time.
        case concurrency
        /// So many requests are due each second.
        case rate
    }

    /// A part of it: from one value to another, in a straight line.
    struct Stage: Sendable, Hashable {
        /// Nanoseconds after the start.
        let start: Int64
        let length: Int64
        let from: Double
        let to: Double

        var end: Int64 { start + length }
        /// Requests due in it, when the values are rates.
        var arrivals: Double { (from + to) / 2 * Double(length) / 1e9 }
    }

    public let quantity: Quantity
    private(set) var stages: [Stage] = []

    /// The same load all the time.
    ///
    /// - Parameter duration: in nanoseconds.
    public init(_ quantity: Quantity, constant value: Double, duration: Int64) {
        self.quantity = quantity
        append(from: value, to: value, length: duration)
    }

    /// From one load to another in a straight line.
    public init(_ quantity: Quantity, from: Double, to: Double, duration: Int64) {
        self.quantity = quantity
        append(from: from, to: to, length: duration)
    }

    /// Several stages, each from the value of the one before to its own; a stage of no length is a step. It begins with one
    /// user, or without requests.
    public init(_ quantity: Quantity, stages: [(length: Int64, to: Double)]) {
        self.quantity = quantity
        var value = quantity == .concurrency ? 1.0 : 0
        for stage in stages {
            append(from: value, to: stage.to, length: stage.length)
            value = stage.to
        }
    }

    private mutating func append(from: Double, to: Double, length: Int64) {
        guard length > 0 else { return }
        stages.append(Stage(start: duration, length: length, from: from, to: to))
    }

    /// Nanoseconds.
    public var duration: Int64 { stages.last?.end ?? 0 }
    public var highest: Double { stages.reduce(0) { max($0, $1.from, $1.to) } }

    /// The value so many nanoseconds after the start; 0 after the end.
    public func value(at time: Int64) -> Double {
        guard let stage = stages.first(where: { time < $0.end }) else { return 0 }
        let share = Double(max(0, time) - stage.start) / Double(stage.length)
        return stage.from + (stage.to - stage.from) * share
    }

    /// A value as users write it: `50` is of users, `50/s` of requests a second.
    public static func parse(_ text: String) throws(SkalaError) -> (quantity: Quantity, value: Double) {
        let isRate = text.hasSuffix("/s")
        let number = isRate ? text.dropLast(2) : text[...]
        guard let value = Double(number), value.isFinite, value >= 0, value <= (isRate ? 1e7 : 100_000) else {
            throw SkalaError(.invalid, "invalid load '\(text)': expected users such as 50, or requests such as 50/s")
        }
        return (isRate ? .rate : .concurrency, value)
    }
}

/// The moments at which requests of an open loop are due, one after the other: the n-th is due when the profile's area
/// reaches n. Knows no backlog: what is due is a matter of the number alone.
public struct ArrivalSchedule: Sendable {
    private let profile: LoadProfile
    private let step: UInt64
    private var stage = 0
    /// Arrivals due before the stage.
    private var before = 0.0
    private var number: UInt64
    /// When the next request is due, in nanoseconds after the start; nil when there are no more.
    public private(set) var next: Int64?

    /// - Parameters:
    ///   - worker: which of `workers` asks: each has every so many-th request.
    public init(_ profile: LoadProfile, worker: Int = 0, workers: Int = 1) {
        self.profile = profile
        step = UInt64(workers)
        number = UInt64(worker)
        find()
    }

    /// Goes on to the request after the next.
    public mutating func advance() {
        number += step
        find()
    }

    private mutating func find() {
        while stage < profile.stages.count {
            let part = profile.stages[stage]
            let missing = Double(number) - before
            if missing < part.arrivals {
                // The area under the line up to t is from·t + slope·t²/2; this form of its inverse has no difference of
                // near numbers, and holds for a slope of 0.
                let slope = (part.to - part.from) / (Double(part.length) / 1e9)
                let root = max(0, part.from * part.from + 2 * slope * missing).squareRoot()
                let seconds = missing == 0 ? 0 : 2 * missing / (part.from + root)
                next = part.start + min(part.length, Int64(seconds * 1e9))
                return
            }
            before += part.arrivals
            stage += 1
        }
        next = nil
    }
}
