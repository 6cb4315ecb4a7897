public import Base

/// What an autoscaler saw and decided, to be shown and kept.
public struct ScalingDecision: Sendable, Hashable, CustomStringConvertible {
    /// One signal against its target.
    public struct Reading: Sendable, Hashable {
        public var signal: Signal
        /// Nil: there is no measurement.
        public var measured: Double?
        /// Of one task, or of the service, as the signal says.
        public var target: Double
        /// As many tasks as it takes; nil without a measurement.
        public var wanted: Int?
        /// What else it would be if the host had had it for the tasks; nil when that changes nothing.
        public var waited: Double?

        public var text: String {
            guard let measured, let wanted else { return "\(signal.rawValue) is not known" }
            let more = waited.map { " (\(signal.text($0)) more was waited for)" } ?? ""
            return "\(signal.rawValue) \(signal.text(measured))\(more) of \(signal.text(target)) wants \(wanted)"
        }
    }

    /// Why the number is not the one that the signals want.
    public enum Limit: Sendable, Hashable, CustomStringConvertible {
        case minimum(Int)
        case maximum(Int)
        /// At most so many in one step.
        case step(Int)
        /// The next step up is possible then.
        case interval(until: Timestamp)
        /// So many were wanted within the window, which they leave then.
        case stabilising(Int, until: Timestamp)
        /// Without these signals there are not fewer tasks.
        case missing([Signal])
        /// Requests wait: one task at least.
        case wake

        public var description: String {
            switch self {
            case .minimum(let count): "minimum \(count)"
            case .maximum(let count): "maximum \(count)"
            case .step(let count): "at most \(count) in one step"
            case .interval(let time): "next step at \(time.text)"
            case .stabilising(let count, let time): "\(count) wanted within the window until \(time.text)"
            case .missing(let signals): "not fewer without " + signals.map(\.rawValue).joined(separator: ", ")
            case .wake: "requests wait"
            }
        }
    }

    public var at: Timestamp
    public var from: Int
    public var to: Int
    public var readings: [Reading]
    /// The signal that wants most; nil when none is known.
    public var decisive: Signal?
    /// What the signals want, without limits; nil when none is known.
    public var wanted: Int?
    public var limits: [Limit]

    /// `3 → 6: cpu 92% of 50% wants 6`, `6: cpu 10% of 50% wants 2 (5 wanted within the window until …)`.
    public var description: String {
        var text = from == to ? "\(to)" : "\(from) → \(to)"
        let reading = readings.first { $0.signal == decisive } ?? readings.first
        if let reading { text += ": \(reading.text)" }
        if !limits.isEmpty { text += " (\(limits.map(\.description).joined(separator: "; ")))" }
        return text
    }
}
