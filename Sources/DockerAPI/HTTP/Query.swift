import Base

/// The query of a URL: names and values in the order they came, decoded.
struct Query: Sendable {
    /// More parameters than any client sends; more are refused.
    static let maximumCount = 4096

    private(set) var items: [(name: String, value: String)] = []

    init(_ items: [(name: String, value: String)] = []) { self.items = items }

    /// Parses what follows the `?`.
    ///
    /// - Throws: `SkalaError` `.invalid` for a bad escape or too many parameters.
    init(parsing text: some StringProtocol) throws(SkalaError) {
        for item in text.split(separator: "&") {
            guard items.count < Query.maximumCount else {
                throw SkalaError(.invalid, "more than \(Query.maximumCount) query parameters")
            }
            let end = item.firstIndex(of: "=") ?? item.endIndex
            let name = try PercentEncoding.decode(item[..<end], plusIsSpace: true)
            let value = end == item.endIndex ? "" : item[item.index(after: end)...]
            items.append((name, try PercentEncoding.decode(value, plusIsSpace: true)))
        }
    }

    func first(_ name: String) -> String? { items.first { $0.name == name }?.value }

    func all(_ name: String) -> [String] { items.filter { $0.name == name }.map(\.value) }

    /// A Boolean by Docker's rules: present and none of empty, `0`, `no`, `false`, `none`, in any case.
    /// `default` counts only when the parameter is missing.
    func flag(_ name: String, default fallback: Bool = false) -> Bool {
        guard let value = first(name) else { return fallback }
        let text = value.lowercased().trimmingSpaces()
        return !["", "0", "no", "false", "none"].contains(text)
    }

    /// An integer; nil when missing or empty.
    ///
    /// - Throws: `SkalaError` `.invalid` when it is no number.
    func int(_ name: String) throws(SkalaError) -> Int64? {
        guard let value = first(name), !value.isEmpty else { return nil }
        guard let number = Int64(value) else {
            throw SkalaError(.invalid, "invalid value \"\(value)\" for \(name): expected a number")
        }
        return number
    }
}

extension StringProtocol {
    /// Without spaces and tabs at both ends.
    func trimmingSpaces() -> String {
        var text = Substring(self)
        while let first = text.first, first == " " || first == "\t" { text.removeFirst() }
        while let last = text.last, last == " " || last == "\t" { text.removeLast() }
        return String(text)
    }
}
