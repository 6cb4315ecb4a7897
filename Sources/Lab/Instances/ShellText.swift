/// Words for a shell, whatever is in them. Pure.
enum ShellText {
    /// One word, in quotes. What it stands for must not hold a zero byte, which no program's argument can.
    static func quote(_ text: String) -> String {
        // By bytes: a character may be a quote and more.
        let parts = text.utf8.split(separator: UInt8(ascii: "'"), omittingEmptySubsequences: false)
        return "'" + parts.map { String(decoding: $0, as: UTF8.self) }.joined(separator: "'\\''") + "'"
    }

    /// A command of which each word reaches the program as it is.
    static func command(_ words: [String]) -> String { words.map(quote).joined(separator: " ") }
}
