import Base
import Planning

extension AutoscalePolicy {
    /// The labels of a service that make its tasks follow its load, all of them beginning so.
    static let prefix = "skala.autoscale."

    /// The policy that a service's labels ask for; nil when they ask for none.
    ///
    ///     skala.autoscale.max=10  skala.autoscale.min=2  skala.autoscale.cpu=70  skala.autoscale.scale-down-after=2m
    ///
    /// - Throws: `.invalid` naming the label; also for signals, and sleep, that only services with labels `skala.http.*`
    ///   can have.
    init?(labels: [String: String]) throws(SkalaError) {
        let isHTTP = labels.contains { $0.key.hasPrefix(HTTPPolicy.prefix) }
        let own = labels.filter { $0.key.hasPrefix(AutoscalePolicy.prefix) }
        guard !own.isEmpty else { return nil }
        var (minimum, maximum): (Int?, Int?) = (nil, nil)
        var targets: [Signal: Double] = [:]
        var scaleDownAfter: Int64 = 60_000_000_000
        for (key, text) in own.sorted(by: { $0.key < $1.key }) {
            func invalid(_ expected: String) -> SkalaError {
                SkalaError(.invalid, "invalid label \(key)=\(text): expected \(expected)")
            }
            switch key.dropFirst(AutoscalePolicy.prefix.count) {
            case "min":
                guard let value = Int(text), (0...ServiceMode.maximumReplicas).contains(value) else {
                    throw invalid("a number of tasks")
                }
                guard value > 0 || isHTTP else {
                    throw invalid(
                        "at least 1: only requests (labels \(HTTPPolicy.prefix)*) wake a service that has none")
                }
                minimum = value
            case "max":
                guard let value = Int(text), (1...ServiceMode.maximumReplicas).contains(value) else {
                    throw invalid("a number of tasks, at least 1")
                }
                maximum = value
            case "scale-down-after":
                guard let value = try? DurationText.parse(text), value >= 0 else {  // the text is told below
                    throw invalid("a duration such as 2m")
                }
                scaleDownAfter = value
            case let name:
                guard let signal = Signal(rawValue: String(name)) else {
                    let known = ["min", "max", "scale-down-after"] + Signal.allCases.map(\.rawValue)
                    throw SkalaError(.invalid, "unknown label \(key): known are \(known.joined(separator: ", "))")
                }
                targets[signal] = try AutoscalePolicy.target(signal, key, text, isHTTP: isHTTP)
            }
        }
        guard let maximum else {
            throw SkalaError(.invalid, "a service that scales by itself needs the label \(AutoscalePolicy.prefix)max")
        }
        guard maximum >= minimum ?? 1 else {
            throw SkalaError(
                .invalid,
                "\(AutoscalePolicy.prefix)max=\(maximum) is below \(AutoscalePolicy.prefix)min=\(minimum ?? 1)")
        }
        guard !targets.isEmpty else {
            throw SkalaError(
                .invalid,
                "a service that scales by itself needs a target: \(AutoscalePolicy.prefix)cpu=70, for instance")
        }
        self.init(minimum: minimum ?? 1, maximum: maximum, targets: targets, scaleDownAfter: scaleDownAfter)
    }

    private static func target(
        _ signal: Signal, _ key: String, _ text: String, isHTTP: Bool
    ) throws(SkalaError) -> Double {
        func invalid(_ expected: String) -> SkalaError {
            SkalaError(.invalid, "invalid label \(key)=\(text): expected \(expected)")
        }
        switch signal {
        case .cpu, .memory, .pressure:
            guard let value = Double(text.hasSuffix("%") ? String(text.dropLast()) : text), value > 0, value <= 100
            else { throw invalid("percent, above 0 and at most 100") }
            return value
        case .requestsPerSecond, .concurrency, .latencyP95:
            guard isHTTP else {
                throw SkalaError(
                    .invalid, "label \(key): requests are counted of services with labels \(HTTPPolicy.prefix)* only")
            }
        }
        if signal == .latencyP95 {
            // The text is told below.
            guard let value = try? DurationText.parse(text), value >= 1_000_000, value <= 3600 * 1_000_000_000 else {
                throw invalid("a duration such as 200ms")
            }
            return Double(value) / 1e6
        }
        guard let value = Double(text), value > 0, value <= 1e9 else {
            throw invalid("a number for one task, above 0")
        }
        return value
    }
}
