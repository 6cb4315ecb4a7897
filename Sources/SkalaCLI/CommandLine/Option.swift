/// One option of a command: what the parser, the help and the completion know of it.
struct Option: Sendable {
    enum Kind: Sendable, Hashable {
        /// Given or not; `--name=false` takes it back.
        case flag
        /// Takes a value, the last one counts.
        case value
        /// Takes a value, may be repeated.
        case list
    }

    let kind: Kind
    let long: String
    let short: Character?
    /// What the help calls the value.
    let placeholder: String
    let help: String
    let completion: Completion

    static func flag(_ long: String, short: Character? = nil, _ help: String) -> Option {
        Option(kind: .flag, long: long, short: short, placeholder: "", help: help, completion: .nothing)
    }

    static func value(
        _ long: String, short: Character? = nil, _ placeholder: String, _ help: String,
        _ completion: Completion = .nothing
    ) -> Option {
        Option(kind: .value, long: long, short: short, placeholder: placeholder, help: help, completion: completion)
    }

    static func list(
        _ long: String, short: Character? = nil, _ placeholder: String, _ help: String,
        _ completion: Completion = .nothing
    ) -> Option {
        Option(kind: .list, long: long, short: short, placeholder: placeholder, help: help, completion: completion)
    }

    // Options of several commands.
    static let all = flag("all", short: "a", "Show all, not only what runs")
    static let quiet = flag("quiet", short: "q", "Show ids only")
    static let noTruncation = flag("no-trunc", "Do not shorten the output")
    static let filter = list("filter", short: "f", "KEY=VALUE", "Show only what matches")
    /// Of the commands that remove things, where `-f` means force.
    static let pruneFilter = list("filter", "KEY=VALUE", "Only what matches: until=24h, label=x")
    static let format = value(
        "format", "TEXT", "'json', or a template such as '{{.ID}} {{.Names}}'", .words(["json", "table"]))
    static let force = flag("force", short: "f", "Do not ask")
}
