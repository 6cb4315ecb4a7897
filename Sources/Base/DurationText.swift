/// Durations as Go and Docker write them: `1m30s`, `250ms`, `1.5h`.
public enum DurationText {
    private static let units: [(name: String, nanoseconds: Double)] = [
        ("ns", 1), ("us", 1e3), ("\u{B5}s", 1e3), ("\u{3BC}s", 1e3), ("ms", 1e6), ("s", 1e9), ("m", 60e9),
        ("h", 3600e9),
    ]

    /// The duration in nanoseconds.
    ///
    /// - Throws: `SkalaError` `.invalid` naming the text.
    public static func parse(_ text: String) throws(SkalaError) -> Int64 {
        let failure = SkalaError(.invalid, "invalid duration: '\(text)'")
        var rest = Substring(text)
        let negative = rest.hasPrefix("-")
        if negative || rest.hasPrefix("+") { rest = rest.dropFirst() }
        if rest == "0" { return 0 }
        guard !rest.isEmpty else { throw failure }
        var total = 0.0
        while !rest.isEmpty {
            let digits = rest.prefix { $0.isASCII && ($0.isNumber || $0 == ".") }
            rest = rest.dropFirst(digits.count)
            let unit = rest.prefix { !$0.isNumber && $0 != "." }
            rest = rest.dropFirst(unit.count)
            guard let number = Double(digits), let scale = units.first(where: { $0.name == unit })?.nanoseconds else {
                throw failure
            }
            total += number * scale
        }
        guard total < 9e18 else { throw failure }
        return Int64(negative ? -total : total)
    }
}
