public import Base

/// A node with its path in the document, for reading it into a type: each wrong value is told with file, line and column, and by
/// the path people know it by: `compose.yaml:12:9: services.web.replicas: a whole number is expected, not 'two'`.
public struct YAMLValue: Sendable {
    public let node: YAMLNode
    /// `services.web.ports[0]`; empty for the whole document.
    public let path: String

    public init(_ node: YAMLNode, path: String = "") {
        self.node = node
        self.path = path
    }

    /// An error at this place.
    public func fault(_ message: String, _ code: SkalaError.Code = .invalid) -> SkalaError {
        SkalaError(code, "\(node.place): \(path.isEmpty ? "" : path + ": ")\(message)")
    }

    private func expected(_ what: String) -> SkalaError {
        if case .scalar(let text, _) = node.content, !node.isNull { return fault("\(what) is expected, not '\(text)'") }
        return fault("\(what) is expected, not \(node.kind)")
    }

    public var isNull: Bool { node.isNull }
    public var isList: Bool { if case .sequence = node.content { true } else { false } }
    public var isMapping: Bool { if case .mapping = node.content { true } else { false } }

    // MARK: collections

    /// The value of a key of a mapping; nil when it is not there, or is nothing.
    public subscript(key: String) -> YAMLValue? {
        guard let value = node[key], !value.isNull else { return nil }
        return child(value, key)
    }

    private func child(_ node: YAMLNode, _ key: String) -> YAMLValue {
        YAMLValue(node, path: path.isEmpty ? key : path + "." + key)
    }

    /// The entries of a mapping in their order; null is an empty one.
    public func entries() throws(SkalaError) -> [(key: String, value: YAMLValue)] {
        guard !isNull else { return [] }
        guard case .mapping(let entries) = node.content else { throw expected("a mapping") }
        return entries.map { ($0.key, child($0.value, $0.key)) }
    }

    /// The elements of a list; null is an empty one.
    public func elements() throws(SkalaError) -> [YAMLValue] {
        guard !isNull else { return [] }
        guard case .sequence(let nodes) = node.content else { throw expected("a list") }
        return nodes.enumerated().map { YAMLValue($1, path: "\(path)[\($0)]") }
    }

    /// Refuses keys that are not among these; those that begin with `x-` are left to others.
    public func allowOnly(_ keys: Set<String>) throws(SkalaError) {
        guard case .mapping(let entries) = node.content else { throw expected("a mapping") }
        for entry in entries where !keys.contains(entry.key) && !entry.key.hasPrefix("x-") {
            let similar = YAMLValue.nearest(to: entry.key, in: keys).map { "; did you mean '\($0)'?" } ?? ""
            throw SkalaError(
                .invalid, "\(entry.keyPlace): \(path.isEmpty ? "" : path + ": ")unknown key '\(entry.key)'\(similar)")
        }
    }

    /// The word that is meant, when it is one or two letters away.
    private static func nearest(to word: String, in words: Set<String>) -> String? {
        words.sorted().map { ($0, distance(Array(word.utf8), Array($0.utf8))) }
            .filter { $0.1 <= (word.utf8.count > 4 ? 2 : 1) }.min { $0.1 < $1.1 }?.0
    }

    /// Levenshtein's.
    private static func distance(_ left: [UInt8], _ right: [UInt8]) -> Int {
        var row = Array(0...right.count)
        for (index, letter) in left.enumerated() {
            var diagonal = row[0]
            row[0] = index + 1
            for (column, other) in right.enumerated() {
                let replaced = diagonal + (letter == other ? 0 : 1)
                diagonal = row[column + 1]
                row[column + 1] = min(replaced, row[column] + 1, diagonal + 1)
            }
        }
        return row[right.count]
    }

    // MARK: single values

    /// Any single value, as it is written.
    public func string() throws(SkalaError) -> String {
        guard case .scalar(let text, _) = node.content, !isNull else { throw expected("a text") }
        return text
    }

    /// A single value, or several in a list.
    public func strings() throws(SkalaError) -> [String] {
        guard isList else { return [try string()] }
        var texts: [String] = []
        for element in try elements() { texts.append(try element.string()) }
        return texts
    }

    public func integer(_ range: ClosedRange<Int64> = Int64.min...Int64.max) throws(SkalaError) -> Int64 {
        // Variables come in as texts, so that quotes do not matter.
        guard case .scalar(let text, _) = node.content, let value = Int64(text) else {
            throw expected("a whole number")
        }
        guard range.contains(value) else {
            throw fault("\(value) is not within \(range.lowerBound) and \(range.upperBound)")
        }
        return value
    }

    public func number() throws(SkalaError) -> Double {
        guard case .scalar(let text, _) = node.content, let value = Double(text), value.isFinite else {
            throw expected("a number")
        }
        return value
    }

    /// `true` or `false`; and, since many files have them, YAML 1.1's other words.
    public func flag() throws(SkalaError) -> Bool {
        guard case .scalar(let text, _) = node.content else { throw expected("true or false") }
        switch text.lowercased() {
        case "true", "yes", "on", "y": return true
        case "false", "no", "off", "n": return false
        default: throw expected("true or false")
        }
    }

    /// Bytes: `512m`, or a number.
    public func bytes() throws(SkalaError) -> Int64 {
        guard case .scalar(let text, _) = node.content, let value = try? ByteSize.parse(text) else {
            throw expected("a size such as 512m")
        }
        return value
    }

    /// Nanoseconds: `1m30s`.
    public func duration() throws(SkalaError) -> Int64 {
        guard case .scalar(let text, _) = node.content, let value = try? DurationText.parse(text) else {
            throw expected("a duration such as 1m30s")
        }
        return value
    }

    /// One of these words.
    public func word(_ words: [String]) throws(SkalaError) -> String {
        let text = try string()
        guard words.contains(text) else { throw expected(words.joined(separator: ", ")) }
        return text
    }

    /// The mapping `KEY: VALUE`, or the list of `KEY=VALUE` that many keys of Compose may be; nil for a key without a value.
    public func pairs() throws(SkalaError) -> [(key: String, value: String?)] {
        var pairs: [(String, String?)] = []
        if isList {
            for element in try elements() {
                let parts = try element.string().split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
                pairs.append((String(parts[0]), parts.count == 2 ? String(parts[1]) : nil))
            }
        } else {
            for (key, value) in try entries() { pairs.append((key, value.isNull ? nil : try value.string())) }
        }
        return pairs
    }
}
