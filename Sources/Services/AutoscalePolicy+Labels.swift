import Base
import Planning

extension AutoscalePolicy {
    /// The labels of a service that make its tasks follow its load, all of them beginning so.
    static let prefix = "skala.autoscale."

    /// The policy that a service's labels ask for; nil when they ask for none.
    ///
    ///     skala.autoscale.max=10  skala.autoscale.min=2  skala.autoscale.cpu=70  skala.autoscale.scale-down-after=2m
    ///
    /// - Throws: `.invalid` naming the label; `.unsupported` for signals that nobody measures yet.
    init?(labels: [String: String]) throws(SkalaError) {
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
                guard let value = Int(text), (1...ServiceMode.maximumReplicas).contains(value) else {
                    throw invalid("a number of tasks, at least 1")
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
                    let known = ["min", "max", "scale-down-after", "cpu", "memory", "pressure"]
                    throw SkalaError(.invalid, "unknown label \(key): known are \(known.joined(separator: ", "))")
                }
                guard [.cpu, .memory, .pressure].contains(signal) else {
                    throw SkalaError(.unsupported, "label \(key): services without HTTP balancing have no such signal")
                }
                guard let value = Double(text.hasSuffix("%") ? String(text.dropLast()) : text), value > 0, value <= 100
                else { throw invalid("percent, above 0 and at most 100") }
                targets[signal] = value
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
}
