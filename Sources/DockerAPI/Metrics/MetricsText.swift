/// Writes metrics in Prometheus' text exposition format, version 0.0.4.
struct MetricsText {
    enum Kind: String { case counter, gauge, histogram }

    static let contentType = "text/plain; version=0.0.4; charset=utf-8"

    private(set) var bytes: [UInt8] = []
    private var name = ""

    init() { bytes.reserveCapacity(64 << 10) }

    /// Begins a family: its samples follow, and those of no other.
    mutating func family(_ name: String, _ kind: Kind, _ help: String) {
        self.name = name
        write("# HELP \(name) \(help)\n# TYPE \(name) \(kind.rawValue)\n")
    }

    /// - Parameter suffix: of a histogram's parts.
    mutating func sample<Value: BinaryInteger>(_ labels: MetricLabels, _ value: Value, suffix: String = "") {
        begin(labels, suffix)
        write("\(value)\n")
    }

    mutating func sample(_ labels: MetricLabels, _ value: Double, suffix: String = "") {
        begin(labels, suffix)
        write(MetricsText.text(value) + "\n")
    }

    /// The only sample of a family.
    mutating func value<Value: BinaryInteger>(_ value: Value) { sample(MetricLabels(), value) }

    mutating func value(_ value: Double) { sample(MetricLabels(), value) }

    static func text(_ value: Double) -> String {
        if value.isNaN { return "NaN" }
        if value.isInfinite { return value < 0 ? "-Inf" : "+Inf" }
        if value == value.rounded(), abs(value) < 1e15 { return "\(Int64(value))" }
        return "\(value)"
    }

    private mutating func begin(_ labels: MetricLabels, _ suffix: String) {
        write(name)
        write(suffix)
        if !labels.text.isEmpty { write("{\(labels.text)}") }
        bytes.append(UInt8(ascii: " "))
    }

    private mutating func write(_ text: String) { bytes.append(contentsOf: text.utf8) }
}

/// The labels of a sample, escaped as they are written.
struct MetricLabels: Hashable {
    /// Longer values are cut: what users name does not make series of any size.
    static let longestValue = 256

    private(set) var text = ""

    init(_ pairs: KeyValuePairs<String, String> = [:]) { for (name, value) in pairs { add(name, value) } }

    func with(_ name: String, _ value: String) -> MetricLabels {
        var labels = self
        labels.add(name, value)
        return labels
    }

    private mutating func add(_ name: String, _ value: String) {
        if !text.isEmpty { text += "," }
        text += name + "=\""
        for character in value.unicodeScalars.prefix(MetricLabels.longestValue) {
            switch character {
            case "\\": text += "\\\\"
            case "\"": text += "\\\""
            case "\n": text += "\\n"
            default: text.unicodeScalars.append(character)
            }
        }
        text += "\""
    }
}
