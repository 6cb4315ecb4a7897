import Glibc

/// A regular expression of `--filter name=`: POSIX extended (regex(7)), which is what people write of Docker's there.
///
/// One that cannot be compiled, or is longer than any name needs, matches nothing, as with Docker.
final class NamePattern {
    private static let maximumLength = 1024

    private var expression = regex_t()
    private let isValid: Bool

    init(_ pattern: String) {
        isValid =
            pattern.utf8.count <= NamePattern.maximumLength && !pattern.utf8.contains(0)
            && regcomp(&expression, pattern, REG_EXTENDED | REG_NOSUB) == 0
    }

    deinit { if isValid { regfree(&expression) } }

    /// Whether it is found anywhere in the text.
    func matches(_ text: String) -> Bool { isValid && regexec(&expression, text, 0, nil, 0) == 0 }
}
