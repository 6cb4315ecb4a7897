import Base

extension AutoscalePolicy {
    /// The service's label that has it, as JSON: `{"min":1,"max":10,"cpu":0.7,"scale-down-after":"1m"}`. Shares are of 1, durations
    /// texts or nanoseconds.
    public static let label = "skala.autoscale"

    private static let keys: Set<String> = ["min", "max", "scale-down-after"]

    /// - Throws: `.invalid` naming what is wrong with it.
    init(label text: String) throws(SkalaError) {
        guard let json = try? JSON(parsing: text), let object = json.object else {  // the text says what is expected
            throw AutoscalePolicy.fault("a JSON object is expected, not '\(text)'")
        }
        for key in object.keys where !AutoscalePolicy.keys.contains(key) && Signal(rawValue: key) == nil {
            throw AutoscalePolicy.fault("unknown key '\(key)'")
        }
        guard let maximum = json["max"].int, (1...100_000).contains(maximum) else {
            throw AutoscalePolicy.fault("max is needed: a number from 1 to 100000")
        }
        let minimum = try json["min"].count("\(AutoscalePolicy.label).min") ?? 1
        guard minimum <= maximum else { throw AutoscalePolicy.fault("min is not above max") }
        var targets: [Signal: Double] = [:]
        for signal in Signal.allCases where !json[signal.rawValue].isNull {
            targets[signal] = try AutoscalePolicy.target(signal, json[signal.rawValue])
        }
        guard !targets.isEmpty else {
            throw AutoscalePolicy.fault(
                "a target is needed: " + Signal.allCases.map(\.rawValue).joined(separator: ", "))
        }
        self.init(minimum: Int(minimum), maximum: Int(maximum), targets: targets)
        if !json["scale-down-after"].isNull { scaleDownAfter = try AutoscalePolicy.duration(json["scale-down-after"]) }
    }

    /// In the signal's unit.
    private static func target(_ signal: Signal, _ value: JSON) throws(SkalaError) -> Double {
        if signal == .latencyP95 { return Double(try duration(value)) / 1e6 }
        let isShare = [Signal.cpu, .memory, .pressure].contains(signal)
        guard let number = value.double, number > 0, !isShare || number <= 1 else {
            throw fault(
                "\(signal.rawValue) is \(isShare ? "a share above 0, up to 1" : "a number above 0"), not \(value.text)")
        }
        return isShare ? number * 100 : number
    }

    private static func duration(_ value: JSON) throws(SkalaError) -> Int64 {
        let duration = try value.string.map { text throws(SkalaError) in try DurationText.parse(text) } ?? value.int
        guard let duration, duration > 0 else {
            throw fault("a duration such as \"1m\" is expected, not \(value.text)")
        }
        return duration
    }

    private static func fault(_ message: String) -> SkalaError { SkalaError(.invalid, "label \(label): \(message)") }
}
