/// Texts of several lines.
enum LineText {
    /// The lines, empty ones too. "\r\n" is one character of a Swift string, and ends a line as "\n" does.
    static func lines(_ text: String) -> [Substring] {
        text.split(omittingEmptySubsequences: false) { $0 == "\n" || $0 == "\r\n" }
    }
}
