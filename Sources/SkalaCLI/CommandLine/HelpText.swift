/// The `--help` of commands, made of their tables.
enum HelpText {
    /// The help of one command; `path` is what the user types: `skala network`.
    static func of(_ command: Command, path: String) -> String {
        var text = "Usage: \(path)\(command.usage.isEmpty ? "" : " " + command.usage)\n\n\(command.summary).\n"
        if !command.verbs.isEmpty {
            text += "\nCommands:\n" + columns(command.verbs.map { ($0.name, $0.summary) })
            text += "\n'\(path) COMMAND --help' shows more of a command.\n"
        } else {
            text += "\nOptions:\n" + columns((command.options + Command.common).map { (label($0), $0.help) })
        }
        if !command.examples.isEmpty {
            text += "\nExamples:\n" + command.examples.map { "  \($0)\n" }.joined()
        }
        return text
    }

    /// The help of the program.
    static func ofProgram() -> String {
        var text = """
            Usage: skala [--host ADDRESS] COMMAND [OPTIONS] [ARG...]

            Runs OCI images at the isolation you choose.

            """
        for section in CommandTable.sections {
            text += "\n\(section.title):\n" + columns(section.commands.map { ($0.name, $0.summary) })
        }
        text += """

            Options:
              --host ADDRESS  The engine's socket (default $SKALA_HOST, $DOCKER_HOST, unix:///run/skala/skala.sock)
              --version       Show the version
              --help          Show this help

            Examples:
              skala daemon
              skala run --rm -it busybox sh
              skala COMMAND --help

            """
        return text
    }

    private static func label(_ option: Option) -> String {
        let short = option.short.map { "-\($0), " } ?? "    "
        return short + "--" + option.long + (option.placeholder.isEmpty ? "" : " " + option.placeholder)
    }

    private static func columns(_ rows: [(String, String)]) -> String {
        let width = min(34, rows.map(\.0.count).max() ?? 0)
        return rows.map { left, right in
            // A long label has its text on a line of its own.
            let gap =
                left.count <= width
                ? String(repeating: " ", count: width - left.count + 2)
                : "\n" + String(repeating: " ", count: width + 4)
            return "  \(left)\(gap)\(right)\n"
        }.joined()
    }
}
