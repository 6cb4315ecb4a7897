import Base
import YAML

/// The variables of Compose files: `$NAME`, `${NAME}`, `${NAME:-default}`, `${NAME-default}`, `${NAME:?error}`, `${NAME?error}`,
/// `${NAME:+other}`, `${NAME+other}`, and `$$` for a dollar sign. What stands behind the operator may have variables, too.
struct ComposeVariables {
    /// A variable's value; nil when it is not set.
    let value: (String) -> String?

    /// Fills in the values of a document; its keys are left as they are.
    func fill(_ value: YAMLValue) throws(SkalaError) -> YAMLNode {
        switch value.node.content {
        case .scalar(let text, let isPlain):
            guard text.contains("$") else { return value.node }
            do { return YAMLNode(.scalar(try fill(text), isPlain: isPlain), at: value.node.place) } catch {
                throw value.fault(error.message)
            }
        case .sequence:
            var nodes: [YAMLNode] = []
            for element in try value.elements() { nodes.append(try fill(element)) }
            return YAMLNode(.sequence(nodes), at: value.node.place)
        case .mapping(var entries):
            for (index, entry) in try value.entries().enumerated() { entries[index].value = try fill(entry.value) }
            return YAMLNode(.mapping(entries), at: value.node.place)
        }
    }

    /// - Throws: `.invalid` for a variable that must be set, and what is no variable.
    func fill(_ text: String) throws(SkalaError) -> String {
        var rest = text[...]
        return try fill(&rest, isInside: false)
    }

    /// Up to the end, or inside of braces up to the closing one, which is left.
    private func fill(_ rest: inout Substring, isInside: Bool) throws(SkalaError) -> String {
        var result = ""
        while let character = rest.first, !(isInside && character == "}") {
            rest = rest.dropFirst()
            guard character == "$" else {
                result.append(character)
                continue
            }
            switch rest.first {
            case "$":
                rest = rest.dropFirst()
                result += "$"
            case "{":
                rest = rest.dropFirst()
                result += try braced(&rest)
            default: result += value(try name(&rest)) ?? ""
            }
        }
        return result
    }

    private func name(_ rest: inout Substring) throws(SkalaError) -> String {
        let name = rest.prefix { $0.isASCII && ($0.isLetter || $0.isNumber || $0 == "_") }
        guard let first = name.first, !first.isNumber else {
            throw SkalaError(.invalid, "'$\(rest.prefix(10))' is no variable; a dollar sign is written $$")
        }
        rest = rest.dropFirst(name.count)
        return String(name)
    }

    private func braced(_ rest: inout Substring) throws(SkalaError) -> String {
        let name = try name(&rest)
        let given = value(name)
        let isEmptyUnset = rest.first == ":"
        if isEmptyUnset { rest = rest.dropFirst() }
        let sign = rest.first
        guard sign != "}" || !isEmptyUnset else { throw SkalaError(.invalid, "'${\(name):' has no operator") }
        if sign != "}" { rest = rest.dropFirst() }
        let isSet = given != nil && !(isEmptyUnset && given == "")
        var result = given ?? ""
        switch sign {
        case "}": break
        case "-":
            let word = try fill(&rest, isInside: true)
            if !isSet { result = word }
        case "+":
            let word = try fill(&rest, isInside: true)
            result = isSet ? word : ""
        case "?":
            let word = try fill(&rest, isInside: true)
            if !isSet {
                throw SkalaError(.invalid, "the variable \(name) must be set\(word.isEmpty ? "" : ": " + word)")
            }
        default: throw SkalaError(.invalid, "'${\(name)' is not closed, or has an unknown operator")
        }
        guard rest.first == "}" else { throw SkalaError(.invalid, "'${\(name)' is not closed") }
        rest = rest.dropFirst()
        return result
    }
}

/// Files of variables, `.env` and `env_file`: `NAME=VALUE` a line, `#` for comments, quotes as a shell's, `export` in front.
enum EnvironmentFile {
    /// The variables in their order. Values without quotes or with double ones may have variables: earlier ones of the file, and
    /// then those of `outer`.
    static func parse(
        _ text: String, name file: String, outer: @escaping (String) -> String?
    ) throws(SkalaError) -> [(name: String, value: String)] {
        var variables: [(name: String, value: String)] = []
        for (index, line) in LineText.lines(text).enumerated() {
            var line = trimmed(line)
            if line.isEmpty || line.hasPrefix("#") { continue }
            if line.hasPrefix("export ") { line = trimmed(line.dropFirst(7)) }
            let name = trimmed(line.prefix { $0 != "=" })
            guard !name.isEmpty, !name.contains(where: { $0.isWhitespace }) else {
                throw SkalaError(.invalid, "\(file), line \(index + 1): NAME=VALUE is expected")
            }
            // A name alone passes on what is set outside.
            guard line.contains("=") else {
                if let value = outer(String(name)) { variables.append((String(name), value)) }
                continue
            }
            let known = variables
            let filler = ComposeVariables { name in known.last { $0.name == name }?.value ?? outer(name) }
            do {
                let value = try value(trimmed(line.drop { $0 != "=" }.dropFirst()), filler)
                variables.append((String(name), value))
            } catch { throw SkalaError(.invalid, "\(file), line \(index + 1): \(error.message)") }
        }
        return variables
    }

    private static func value(_ text: Substring, _ filler: ComposeVariables) throws(SkalaError) -> String {
        guard let quote = text.first, quote == "'" || quote == "\"" else {
            // A comment begins behind a space.
            var end = text.endIndex
            var previous: Character = " "
            for index in text.indices {
                if text[index] == "#", previous.isWhitespace {
                    end = index
                    break
                }
                previous = text[index]
            }
            return try filler.fill(String(trimmed(text[..<end])))
        }
        var result = ""
        var rest = text.dropFirst()
        while let character = rest.popFirst() {
            if character == quote { return quote == "'" ? result : try filler.fill(result) }
            if character == "\\", quote == "\"", let next = rest.popFirst() {
                let escapes: [Character: Character] = ["n": "\n", "r": "\r", "t": "\t", "\"": "\"", "\\": "\\"]
                if next == "$" {
                    result += "$$"
                } else if let escape = escapes[next] {
                    result.append(escape)
                } else {
                    result += "\\" + String(next)
                }
            } else {
                result.append(character)
            }
        }
        throw SkalaError(.invalid, "a quote is not closed")
    }

    private static func trimmed(_ text: Substring) -> Substring {
        var text = text.drop { $0.isWhitespace }
        while text.last?.isWhitespace == true { text = text.dropLast() }
        return text
    }
}
