import Base

/// The words of a runtime command line: options with and without values, then what is left.
struct RuntimeArguments {
    /// Long names of options without a value, by command line word.
    static let switches: Set = [
        "debug", "systemd-cgroup", "help", "version", "detach", "no-pivot", "no-new-keyring", "force", "all", "tty",
        "quiet", "stats", "rootless", "keep", "ignore-paused", "no-new-privs", "no-subreaper", "regex",
    ]
    private static let short: [String: String] = [
        "b": "bundle", "d": "detach", "f": "force", "a": "all", "t": "tty", "u": "user", "e": "env", "p": "process",
        "q": "quiet", "h": "help", "v": "version", "c": "cap", "g": "additional-gids", "r": "resources",
    ]

    private var values: [String: [String]] = [:]
    private(set) var rest: [String] = []

    /// Reads options up to the first other word, or, when `mixed`, everywhere before `--`.
    init(_ words: ArraySlice<String>, mixed: Bool, renamed: [String: String] = [:]) throws(SkalaError) {
        var words = words
        while let word = words.first {
            if word == "--" {
                rest += words.dropFirst()
                return
            }
            guard word.hasPrefix("-"), word.count > 1 else {
                if !mixed { break }
                rest.append(word)
                words = words.dropFirst()
                continue
            }
            words = words.dropFirst()
            let parts = word.drop { $0 == "-" }.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            var name = String(parts[0])
            name = renamed[name] ?? RuntimeArguments.short[name] ?? name
            if RuntimeArguments.switches.contains(name) {
                values[name, default: []].append(parts.count > 1 ? String(parts[1]) : "true")
            } else if parts.count > 1 {
                values[name, default: []].append(String(parts[1]))
            } else if let value = words.popFirst() {
                values[name, default: []].append(value)
            } else {
                throw SkalaError(.invalid, "the option \(word) needs a value")
            }
        }
        rest += words
    }

    func has(_ name: String) -> Bool { values[name]?.last.map { $0 != "false" } ?? false }
    subscript(_ name: String) -> String? { values[name]?.last }
    func all(_ name: String) -> [String] { values[name] ?? [] }

    func first(_ what: String) throws(SkalaError) -> String {
        guard let value = rest.first else { throw SkalaError(.invalid, "\(what) is missing") }
        return value
    }
}
