/// Shell patterns: `*` any run of characters but `/`, `?` one of them.
enum ShellPattern {
    static func matches(_ pattern: String, _ text: String) -> Bool {
        let slash = UInt8(ascii: "/")
        let patterns = Array(pattern.utf8).split(separator: slash, omittingEmptySubsequences: false)
        let texts = Array(text.utf8).split(separator: slash, omittingEmptySubsequences: false)
        return patterns.count == texts.count && zip(patterns, texts).allSatisfy(part)
    }

    /// One part between slashes. Only the last `*` is ever tried again, so that no pattern takes more than the product of
    /// the lengths.
    private static func part(_ pattern: ArraySlice<UInt8>, _ text: ArraySlice<UInt8>) -> Bool {
        var at = pattern.startIndex
        var position = text.startIndex
        var star: (pattern: Int, text: Int)?
        while position < text.endIndex {
            if at < pattern.endIndex, pattern[at] == UInt8(ascii: "*") {
                star = (at, position)
                at += 1
            } else if at < pattern.endIndex, pattern[at] == UInt8(ascii: "?") || pattern[at] == text[position] {
                at += 1
                position += 1
            } else if let last = star {
                star = (last.pattern, last.text + 1)
                at = last.pattern + 1
                position = last.text + 1
            } else {
                return false
            }
        }
        return pattern[at...].allSatisfy { $0 == UInt8(ascii: "*") }
    }
}
