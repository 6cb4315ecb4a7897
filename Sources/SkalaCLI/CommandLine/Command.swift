/// One command: the entry that parsing, help and completion are driven by.
struct Command: Sendable {
    typealias Body = @Sendable (Invocation) throws -> Int32

    enum Work: Sendable {
        case run(Body)
        /// A noun with verbs of its own.
        case group([Command])
        /// Gets its arguments unparsed, `--help` included.
        case passThrough(@Sendable ([String]) throws -> Int32)
    }

    let name: String
    /// One line for the list of commands.
    let summary: String
    /// What stands behind the name: `[OPTIONS] CONTAINER [CONTAINER...]`.
    let usage: String
    /// How many arguments there may be.
    let count: ClosedRange<Int>
    let options: [Option]
    let completion: Completion
    /// Options end at the first argument: what follows belongs to another program.
    let stopsAtArgument: Bool
    let examples: [String]
    let work: Work

    init(
        _ name: String, _ summary: String, _ usage: String, _ count: ClosedRange<Int>, completes: Completion = .nothing,
        stopsAtArgument: Bool = false, options: [Option] = [], examples: [String], _ body: @escaping Body
    ) {
        self.name = name
        self.summary = summary
        self.usage = usage
        self.count = count
        self.options = options
        self.completion = completes
        self.stopsAtArgument = stopsAtArgument
        self.examples = examples
        work = .run(body)
    }

    init(_ name: String, _ summary: String, _ usage: String, examples: [String] = [], work: Work) {
        self.name = name
        self.summary = summary
        self.usage = usage
        count = 0...Int.max
        options = []
        completion = .nothing
        stopsAtArgument = false
        self.examples = examples
        self.work = work
    }

    /// Any number of arguments from this one on.
    static func atLeast(_ count: Int) -> ClosedRange<Int> { count...Int.max }

    /// What every command takes.
    static let common: [Option] = [
        .value(
            "host", "ADDRESS", "The engine's socket (default $SKALA_HOST, $DOCKER_HOST, unix:///run/skala/skala.sock)"),
        .flag("help", "Show this help"),
    ]

    var verbs: [Command] { if case .group(let verbs) = work { verbs } else { [] } }

    func option(long name: String) -> Option? {
        options.first { $0.long == name } ?? Command.common.first { $0.long == name }
    }

    func option(short name: Character) -> Option? {
        options.first { $0.short == name } ?? (name == "h" ? Command.common.first { $0.long == "help" } : nil)
    }
}
