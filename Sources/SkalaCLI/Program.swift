import Base
import Client
import Glibc
import Kernel

/// The `skala` command.
public enum Program {
    /// Carries out one command line.
    ///
    /// - Parameter words: the arguments, without the program's name.
    /// - Returns: the exit status.
    public static func main(_ words: [String]) -> Int32 {
        // A reader of our output that has gone is an error of writing, not a signal.
        signal(SIGPIPE, SIG_IGN)
        do {
            return try run(words)
        } catch {
            let message = CommandFailure.text(error)
            if !message.isEmpty { StandardStreams.error("skala: \(message)\n") }
            return CommandFailure.status(of: error)
        }
    }

    private static func run(_ words: [String]) throws -> Int32 {
        var rest = words[...]
        var host: String?
        while let word = rest.first, word.hasPrefix("-") {
            rest = rest.dropFirst()
            switch word {
            case "--help", "-h":
                StandardStreams.output(HelpText.ofProgram())
                return 0
            case "--version", "-v":
                StandardStreams.output("skala version \(ProductVersion.text)\n")
                return 0
            case "--host", "-H":
                guard let value = rest.popFirst() else { throw CommandFailure(125, "option needs a value: \(word)") }
                host = value
            default:
                guard word.hasPrefix("--host=") else {
                    throw CommandFailure(125, "unknown option: \(word); see 'skala --help'")
                }
                host = String(word.dropFirst("--host=".count))
            }
        }
        guard let name = rest.popFirst() else {
            StandardStreams.output(HelpText.ofProgram())
            return 0
        }
        if name == Completer.command { return Completer.complete(Array(rest)) }
        if name == "help" { return try help(Array(rest)) }
        guard let command = CommandTable.find(name) else {
            throw SkalaError(.invalid, "unknown command '\(name)'; 'skala --help' lists all")
        }
        return try run(command, path: "skala \(command.name)", rest, host)
    }

    private static func help(_ names: [String]) throws -> Int32 {
        guard let first = names.first else {
            StandardStreams.output(HelpText.ofProgram())
            return 0
        }
        guard let command = CommandTable.find(first) else { throw SkalaError(.invalid, "unknown command '\(first)'") }
        return try run(command, path: "skala \(first)", names.dropFirst() + ["--help"], nil)
    }

    private static func run(
        _ command: Command, path: String, _ words: ArraySlice<String>, _ host: String?
    ) throws -> Int32 {
        switch command.work {
        case .passThrough(let body): return try body(Array(words))
        case .group(let verbs):
            guard let name = words.first, name != "--help", name != "-h" else {
                StandardStreams.output(HelpText.of(command, path: path))
                return words.isEmpty ? 1 : 0
            }
            guard let verb = verbs.first(where: { $0.name == name }) else {
                throw SkalaError(.invalid, "unknown command '\(path) \(name)'; '\(path) --help' lists all")
            }
            return try run(verb, path: "\(path) \(verb.name)", words.dropFirst(), host)
        case .run(let body):
            let arguments: Arguments
            do { arguments = try Arguments(words, for: command) } catch {
                throw CommandFailure(125, "\(error.message); see '\(path) --help'")
            }
            if arguments.flag("help") {
                StandardStreams.output(HelpText.of(command, path: path))
                return 0
            }
            guard command.count.contains(arguments.positional.count) else {
                throw SkalaError(.invalid, "\(count(command, path)); usage: \(path) \(command.usage)")
            }
            let address = try EngineAddress.choose(option: arguments["host"] ?? host, environment: Environment.value)
            return try body(
                Invocation(
                    path: path, arguments: arguments, client: EngineClient(address), output: Output()))
        }
    }

    private static func count(_ command: Command, _ path: String) -> String {
        let (low, high) = (command.count.lowerBound, command.count.upperBound)
        func arguments(_ count: Int) -> String { count == 1 ? "1 argument" : "\(count) arguments" }
        if low == high { return "'\(path)' takes \(low == 0 ? "no argument" : arguments(low))" }
        if high == Int.max { return "'\(path)' needs at least \(arguments(low))" }
        return "'\(path)' takes \(low) to \(high) arguments"
    }
}
