import Base

/// The command line of one command, parsed after its table of options.
///
/// Takes what docker's takes: `--name value`, `--name=value`, `-n value`, `-nvalue`, `-n=value`, grouped flags (`-it`),
/// `--flag=false`, `--` as the end of options.
struct Arguments: Sendable {
    private var values: [String: [String]] = [:]
    private(set) var positional: [String] = []

    /// - Throws: `SkalaError` `.invalid` naming the option or the count.
    init(_ words: some Sequence<String>, for command: Command) throws(SkalaError) {
        var rest = Array(words)[...]
        while let word = rest.popFirst() {
            if word == "--" {
                positional += rest
                break
            }
            if word.hasPrefix("--") {
                try takeLong(word.dropFirst(2), &rest, command)
            } else if word.hasPrefix("-"), word != "-" {
                try takeShort(word.dropFirst(), &rest, command)
            } else {
                positional.append(word)
                if command.stopsAtArgument {
                    positional += rest
                    break
                }
            }
        }
    }

    private mutating func takeLong(
        _ word: Substring, _ rest: inout ArraySlice<String>, _ command: Command
    ) throws(SkalaError) {
        let parts = word.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
        let name = String(parts[0])
        guard let option = command.option(long: name) else { throw SkalaError(.invalid, "unknown option: --\(name)") }
        guard option.kind == .flag else {
            guard let value = parts.count == 2 ? String(parts[1]) : rest.popFirst() else {
                throw SkalaError(.invalid, "option needs a value: --\(name)")
            }
            return add(option, value)
        }
        add(option, try Arguments.boolean(parts.count == 2 ? String(parts[1]) : "true", "--\(name)"))
    }

    private mutating func takeShort(
        _ word: Substring, _ rest: inout ArraySlice<String>, _ command: Command
    ) throws(SkalaError) {
        var letters = word
        while let letter = letters.popFirst() {
            guard let option = command.option(short: letter) else {
                throw SkalaError(.invalid, "unknown option: -\(letter)\(word.count > 1 ? " in -\(word)" : "")")
            }
            if option.kind == .flag, letters.first != "=" {
                add(option, "true")
                continue
            }
            var value = letters.isEmpty ? rest.popFirst() : String(letters)
            if !letters.isEmpty, letters.first == "=" { value = String(letters.dropFirst()) }
            guard let value else { throw SkalaError(.invalid, "option needs a value: -\(letter)") }
            return add(option, option.kind == .flag ? try Arguments.boolean(value, "-\(letter)") : value)
        }
    }

    private static func boolean(_ text: String, _ option: String) throws(SkalaError) -> String {
        switch text.lowercased() {
        case "true", "1", "t": "true"
        case "false", "0", "f": "false"
        default: throw SkalaError(.invalid, "invalid value '\(text)' for \(option): expected true or false")
        }
    }

    private mutating func add(_ option: Option, _ value: String) {
        if option.kind == .list {
            values[option.long, default: []].append(value)
        } else {
            values[option.long] = [value]
        }
    }

    // MARK: reading

    func flag(_ name: String) -> Bool { values[name]?.last == "true" }

    /// Whether the option was given at all, whatever its value.
    func has(_ name: String) -> Bool { values[name] != nil }

    subscript(name: String) -> String? { values[name]?.last }

    func list(_ name: String) -> [String] { values[name] ?? [] }

    func int(_ name: String) throws(SkalaError) -> Int64? {
        guard let text = self[name] else { return nil }
        guard let value = Int64(text) else { throw invalid(name, text, "expected a whole number") }
        return value
    }

    /// A size in bytes; `-1` stands for "no limit" where the API has it.
    func bytes(_ name: String) throws(SkalaError) -> Int64? {
        guard let text = self[name] else { return nil }
        if text == "-1" { return -1 }
        do { return try ByteSize.parse(text) } catch { throw invalid(name, text, "expected a size such as 512m") }
    }

    /// A duration in nanoseconds.
    func duration(_ name: String) throws(SkalaError) -> Int64? {
        guard let text = self[name] else { return nil }
        do { return try DurationText.parse(text) } catch {
            throw invalid(name, text, "expected a duration such as 1m30s")
        }
    }

    /// The words of an enumeration that an option has, several with commas.
    func words<Word: CaseIterable & RawRepresentable>(
        _ name: String, _ type: Word.Type
    ) throws(SkalaError) -> [Word] where Word.RawValue == String {
        var words: [Word] = []
        for text in list(name).flatMap({ $0.split(separator: ",", omittingEmptySubsequences: false) }).map(String.init)
        {
            guard let word = type.init(rawValue: text) else {
                let known = type.allCases.map(\.rawValue).joined(separator: ", ")
                throw invalid(name, text, "expected \(known)")
            }
            words.append(word)
        }
        return words
    }

    func invalid(_ name: String, _ value: String, _ expectation: String) -> SkalaError {
        SkalaError(.invalid, "invalid value '\(value)' for --\(name): \(expectation)")
    }
}
