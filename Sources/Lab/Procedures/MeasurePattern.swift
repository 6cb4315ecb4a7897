import Base
import YAML

/// A measure, and how it is found in what a program says.
struct MeasurePattern: Sendable {
    private enum Place: Sendable {
        /// The first group of a regular expression, at its last match.
        case pattern(String)
        /// Members of a JSON document, from the outside in.
        case path([String])
        /// Seconds the script took.
        case elapsed
    }

    let measure: Measure
    private let place: Place
    private let scale: Double

    /// The time its script takes, instead of something it says.
    var isElapsed: Bool { if case .elapsed = place { true } else { false } }

    static func read(_ value: YAMLValue) throws(SkalaError) -> [MeasurePattern] {
        var measures: [MeasurePattern] = []
        for (name, value) in try value.entries() { measures.append(try MeasurePattern(name, value)) }
        guard !measures.isEmpty else { throw value.fault("at least one measure is expected") }
        return measures
    }

    private init(_ name: String, _ value: YAMLValue) throws(SkalaError) {
        try value.allowOnly(["pattern", "json", "elapsed", "unit", "better", "scale"])
        let spec = SpecReader(value, quick: nil)
        let better = try spec.required("better").word(Measure.Direction.allCases.map(\.rawValue))
        measure = Measure(
            name, unit: try spec.required("unit").string(), better: Measure.Direction(rawValue: better) ?? .neither)
        scale = try value["scale"]?.number() ?? 1
        switch (value["pattern"], value["json"], value["elapsed"]) {
        case (let pattern?, nil, nil):
            let text = try pattern.string()
            let regex: Regex<AnyRegexOutput>
            do { regex = try Regex(text) } catch { throw pattern.fault("no regular expression: \(error)") }
            guard "".firstMatch(of: regex).map({ $0.output.count > 1 }) ?? text.contains("(") else {
                throw pattern.fault("a group is missing: the value is what stands in the first pair of parentheses")
            }
            place = .pattern(text)
        case (nil, let path?, nil): place = .path(try path.string().split(separator: ".").map(String.init))
        case (nil, nil, let elapsed?):
            guard try elapsed.flag() else { throw elapsed.fault("true is expected") }
            place = .elapsed
        default: throw value.fault("one of 'pattern', 'json' and 'elapsed' is expected")
        }
    }

    /// The value in a program's output; nil when it is not there.
    func value(in execution: Execution) -> Double? {
        switch place {
        case .elapsed: Double(execution.elapsed) / 1e9 * scale
        case .pattern(let text): last(text, execution.output).map { $0 * scale }
        case .path(let path): member(path, execution.output).map { $0 * scale }
        }
    }

    private func last(_ pattern: String, _ output: String) -> Double? {
        // It was compiled when the file was read.
        guard let regex = try? Regex(pattern).anchorsMatchLineEndings(),
            let match = output.matches(of: regex).last, match.output.count > 1, let range = match.output[1].range
        else { return nil }
        return Double(output[range])
    }

    private func member(_ path: [String], _ output: String) -> Double? {
        // Programs may say something before their document, or after it.
        guard let start = output.utf8.firstIndex(of: UInt8(ascii: "{")),
            let end = output.utf8.lastIndex(of: UInt8(ascii: "}")), start < end,
            // What is no document has no value.
            var json = try? JSON(parsing: Array(output.utf8[start...end]))
        else { return nil }
        for part in path { json = Int(part).map { json[$0] } ?? json[part] }
        return json.double
    }
}
