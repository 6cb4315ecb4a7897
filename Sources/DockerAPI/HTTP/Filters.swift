import Base

/// Docker's `filters` parameter: for each name the values asked for.
///
/// Two forms are in use: `{"label":["a=b"]}` and the older `{"label":{"a=b":true}}`. Values of one filter are
/// alternatives (but labels must all match); different filters must all match.
struct Filters: Sendable, Equatable {
    private var values: [String: [String]] = [:]

    init(_ values: [String: [String]] = [:]) { self.values = values }

    /// Parses the parameter; missing or empty means no filter.
    ///
    /// - Throws: `SkalaError` `.invalid` for anything but the two forms, or a filter outside `allowed`.
    init(_ text: String?, allowed: Set<String>) throws(SkalaError) {
        guard let text, !text.isEmpty else { return }
        let json = try JSON(parsing: text)
        if json.isNull { return }
        guard let object = json.object else { throw SkalaError(.invalid, "invalid filters: \(text)") }
        for (name, value) in object.members {
            guard allowed.contains(name) else { throw SkalaError(.invalid, "invalid filter '\(name)'") }
            values[name] = try Filters.values(value, of: name)
        }
    }

    /// Parses the `filters` of a request.
    init(_ request: Request, allowed: Set<String>) throws(SkalaError) {
        try self.init(request.query.first("filters"), allowed: allowed)
    }

    private static func values(_ json: JSON, of name: String) throws(SkalaError) -> [String] {
        if let list = json.strings { return list }
        if let object = json.object, object.members.allSatisfy({ $0.value.bool != nil }) {
            return object.members.filter { $0.value.bool == true }.map(\.key)
        }
        throw SkalaError(.invalid, "invalid filter '\(name)': expected an array of strings or an object of Booleans")
    }

    var isEmpty: Bool { values.allSatisfy { $0.value.isEmpty } }

    /// The values of a filter; none when it is not set.
    func all(_ name: String) -> [String] { values[name] ?? [] }

    func has(_ name: String) -> Bool { !all(name).isEmpty }

    /// Whether the filter is not set or one of its values is exactly `candidate`.
    func exact(_ name: String, _ candidate: String) -> Bool { any(name) { $0 == candidate } }

    /// Whether the filter is not set or one of its values is among `candidates`.
    func exact(_ name: String, anyOf candidates: some Collection<String>) -> Bool {
        any(name) { candidates.contains($0) }
    }

    /// Whether the filter is not set or one of its values begins `candidate`, as for ids.
    func prefix(_ name: String, _ candidate: String) -> Bool { any(name) { candidate.hasPrefix($0) } }

    /// Whether the filter is not set or one of its values fits the name, see `nameMatches`. Several candidates are the
    /// several names of one thing.
    func name(_ name: String, anyOf candidates: some Collection<String>) -> Bool {
        any(name) { value in candidates.contains { Filters.nameMatches(pattern: value, name: $0) } }
    }

    /// Whether the filter is not set or `matches` is true for one of its values.
    func any(_ name: String, _ matches: (String) throws -> Bool) rethrows -> Bool {
        let values = all(name)
        return try values.isEmpty || values.contains(where: matches)
    }

    /// Whether the labels have everything each value asks for: `key`, or `key=value`.
    func labels(_ labels: [String: String], filter name: String = "label") -> Bool {
        all(name).allSatisfy { wanted in
            guard let equals = wanted.firstIndex(of: "=") else { return labels[wanted] != nil }
            return labels[String(wanted[..<equals])] == String(wanted[wanted.index(after: equals)...])
        }
    }

    /// A filter that is a Boolean, such as `dangling`.
    ///
    /// - Throws: `SkalaError` `.invalid` when it is none, or both.
    func flag(_ name: String) throws(SkalaError) -> Bool? {
        var result: Bool?
        for value in all(name) {
            let flag: Bool
            switch value.lowercased() {
            case "1", "t", "true": flag = true
            case "0", "f", "false": flag = false
            default: throw SkalaError(.invalid, "invalid value '\(value)' for filter '\(name)'")
            }
            guard result == nil || result == flag else {
                throw SkalaError(.invalid, "contradicting values for filter '\(name)'")
            }
            result = flag
        }
        return result
    }

    /// Docker's rule for names: the pattern is found anywhere in the name, `^` ties it to the beginning, `$` to the end.
    /// Names are compared with and without their leading `/`.
    static func nameMatches(pattern: String, name: String) -> Bool {
        let bare = name.hasPrefix("/") ? String(name.dropFirst()) : name
        let expression = NamePattern(pattern)
        return expression.matches(bare) || expression.matches("/" + bare)
    }
}
