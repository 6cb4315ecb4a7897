/// Identifiers as Docker prints them: 64 lower-case hexadecimal digits, 12 when short.
public enum Identifier {
    public static let length = 64
    public static let shortLength = 12

    /// A new random identifier. `random` is a value so that tests can replay it.
    public static func make(using random: inout some RandomNumberGenerator) -> String {
        // A short form that is all digits would read as a number (Docker avoids it for the same reason).
        while true {
            let bytes = (0..<4).flatMap { _ in withUnsafeBytes(of: random.next() as UInt64) { Array($0) } }
            let text = Hexadecimal.encode(bytes)
            if text.prefix(shortLength).contains(where: { !$0.isNumber }) { return text }
        }
    }

    public static func make() -> String {
        var random = SystemRandomNumberGenerator()
        return make(using: &random)
    }

    public static func short(_ id: String) -> String { String(id.prefix(shortLength)) }
}
