import Base
import Client
import Kernel
import Lab

/// Answers what may stand next on a command line; the shells' completion functions call it.
enum Completer {
    /// Hidden from the help: only the shells call it.
    static let command = "__complete"

    /// Prints the candidates for the last of the words typed behind `skala`, one a line.
    static func complete(_ words: [String]) -> Int32 {
        // An engine that does not answer has no names to offer; the shell shows nothing then.
        let candidates = candidates(words) { completion in (try? names(completion)) ?? [] }
        StandardStreams.output(candidates.map { $0 + "\n" }.joined())
        return 0
    }

    /// - Parameter names: the names of the engine's objects of a kind.
    static func candidates(_ words: [String], names: (Completion) -> [String]) -> [String] {
        let typed = words.last ?? ""
        var before = words.dropLast()[...]
        var commands = CommandTable.sections.flatMap(\.commands)
        var command: Command?
        while let name = before.first, let found = commands.first(where: { $0.name == name }) {
            command = found
            commands = found.verbs
            before = before.dropFirst()
            if commands.isEmpty { break }
        }
        guard let command, command.verbs.isEmpty else {
            // A word that is no command has nothing behind it.
            guard before.isEmpty else { return [] }
            return commands.map(\.name).filter { $0.hasPrefix(typed) }.sorted()
        }
        return candidates(for: typed, after: before, of: command, names)
    }

    private static func candidates(
        for typed: String, after before: ArraySlice<String>, of command: Command, _ names: (Completion) -> [String]
    ) -> [String] {
        func matching(_ completion: Completion) -> [String] {
            let all: [String] =
                switch completion {
                case .words(let words): words
                case .nothing, .files, .directories: []
                case .containers, .runningContainers, .images, .networks, .volumes, .runs: names(completion)
                }
            return all.filter { $0.hasPrefix(typed) }
        }
        if let last = before.last, last.hasPrefix("-"), !last.contains("=") {
            let option =
                last.hasPrefix("--")
                ? command.option(long: String(last.dropFirst(2))) : last.last.flatMap { command.option(short: $0) }
            if let option, option.kind != .flag { return matching(option.completion) }
        }
        if typed.hasPrefix("-") {
            return (command.options + Command.common).map { "--" + $0.long }.filter { $0.hasPrefix(typed) }.sorted()
        }
        // The arguments of another program are not ours to complete.
        if command.stopsAtArgument, let arguments = try? Arguments(before, for: command),
            !arguments.positional.isEmpty
        {
            return []
        }
        return matching(command.completion)
    }

    private static func names(_ completion: Completion) throws -> [String] {
        if completion == .runs {
            return RunFolder.all(in: LabCommands.home(Environment.value) + "/runs").map(\.identifier)
        }
        let client = EngineClient(try EngineAddress.choose(option: nil, environment: Environment.value))
        switch completion {
        case .containers, .runningContainers:
            let query = completion == .containers ? [(name: "all", value: "1")] : []
            let list = try client.json(.get("/containers/json", query: query)).array ?? []
            return list.flatMap { $0["Names"].strings ?? [] }.map { String($0.drop { $0 == "/" }) }
        case .images:
            return (try client.json(.get("/images/json")).array ?? []).flatMap { $0["RepoTags"].strings ?? [] }
        case .networks: return (try client.json(.get("/networks")).array ?? []).compactMap { $0["Name"].string }
        case .volumes:
            return (try client.json(.get("/volumes"))["Volumes"].array ?? []).compactMap { $0["Name"].string }
        case .nothing, .files, .directories, .words, .runs: return []
        }
    }
}
