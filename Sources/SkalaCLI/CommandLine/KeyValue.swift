import Base

/// Texts such as `KEY=VALUE`.
enum KeyValue {
    /// The value is empty where there is no `=`.
    static func split(_ text: String) -> (key: String, value: String) {
        guard let equals = text.firstIndex(of: "=") else { return (text, "") }
        return (String(text[..<equals]), String(text[text.index(after: equals)...]))
    }

    /// A JSON object of several, in the order given.
    static func object(_ texts: [String]) -> JSON {
        var object: JSON = [:]
        for text in texts {
            let (key, value) = split(text)
            object[key] = JSON(value)
        }
        return object
    }

    /// Environment variables: a name alone takes this program's value, or is left out when it has none.
    static func environment(_ texts: [String], _ environment: (String) -> String?) -> [String] {
        texts.compactMap { text in
            text.contains("=") ? text : environment(text).map { "\(text)=\($0)" }
        }
    }

    /// The entries of an `--env-file` or `--label-file`: a `KEY=VALUE` a line; empty lines and those with `#` in front do
    /// not count.
    ///
    /// - Throws: `SkalaError` `.invalid` for a name with spaces, with the line's number.
    static func lines(_ contents: String, file: String) throws(SkalaError) -> [String] {
        var entries: [String] = []
        for (index, raw) in LineText.lines(contents).enumerated() {
            let line = raw.drop { $0 == " " || $0 == "\t" }
            if line.isEmpty || line.hasPrefix("#") { continue }
            let key = line.prefix { $0 != "=" }
            guard !key.isEmpty, !key.contains(where: { $0 == " " || $0 == "\t" }) else {
                throw SkalaError(.invalid, "\(file), line \(index + 1): invalid name '\(key)'")
            }
            entries.append(String(line))
        }
        return entries
    }
}
