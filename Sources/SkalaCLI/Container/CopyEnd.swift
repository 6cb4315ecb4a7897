/// One end of a copy.
enum CopyEnd: Hashable {
    case container(name: String, path: String)
    case local(String)

    /// A text with a colon names a container, unless it is a path by its beginning.
    init(_ text: String) {
        guard !text.hasPrefix("/"), !text.hasPrefix("."), let colon = text.firstIndex(of: ":"),
            colon != text.startIndex, !text[..<colon].contains("/")
        else {
            self = .local(text)
            return
        }
        self = .container(name: String(text[..<colon]), path: String(text[text.index(after: colon)...]))
    }
}
