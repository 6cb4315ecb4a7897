import Base

/// How planners write numbers into their reasons.
enum Text {
    /// `1 node`, `3 nodes`.
    static func count(_ number: Int, _ noun: String) -> String { "\(number) \(noun)\(number == 1 ? "" : "s")" }

    /// `250ms`, `1.5s`, `90s`: with as many decimals as tell something.
    static func duration(_ nanoseconds: Int64) -> String {
        if nanoseconds < 1_000_000_000 { return "\(nanoseconds / 1_000_000)ms" }
        return number(Double(nanoseconds / 100_000_000) / 10) + "s"
    }

    /// With two decimals at most, and none that are zero.
    static func number(_ value: Double) -> String {
        guard value.isFinite, abs(value) < 1e15 else { return String(value) }
        let hundredths = Int64((value * 100).rounded())
        let (whole, rest) = (abs(hundredths) / 100, abs(hundredths) % 100)
        var text = (hundredths < 0 ? "-" : "") + String(whole)
        if rest > 0 { text += rest % 10 == 0 ? ".\(rest / 10)" : rest < 10 ? ".0\(rest)" : ".\(rest)" }
        return text
    }
}
