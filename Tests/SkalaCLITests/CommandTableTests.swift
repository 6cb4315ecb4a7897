import Testing

@testable import SkalaCLI

struct CommandTableTests {
    /// Every command with the words that call it.
    private static let all: [(path: String, command: Command)] = CommandTable.sections.flatMap(\.commands).flatMap {
        command in
        [("skala \(command.name)", command)] + command.verbs.map { ("skala \(command.name) \($0.name)", $0) }
    }

    @Test func namesAreUnique() {
        let names = CommandTableTests.all.map(\.path)
        #expect(Set(names).count == names.count)
        #expect(names.count > 50)
    }

    @Test func everyHelpRendersWithItsOptionsAndAnExample() {
        for (path, command) in CommandTableTests.all {
            let help = HelpText.of(command, path: path)
            #expect(help.hasPrefix("Usage: \(path)"))
            for option in command.options { #expect(help.contains("--\(option.long)"), "\(path) --\(option.long)") }
            for line in help.split(separator: "\n") { #expect(line.count <= 130, "\(path): \(line)") }
            guard command.verbs.isEmpty else { continue }
            #expect(!command.examples.isEmpty, "\(path) has no example")
            #expect(command.examples.contains { $0.contains(path) }, "\(path) has no example of its own")
        }
        let program = HelpText.ofProgram()
        for command in CommandTable.sections.flatMap(\.commands) { #expect(program.contains("  \(command.name) ")) }
    }

    @Test func optionsOfACommandAreUnique() {
        for (path, command) in CommandTableTests.all {
            let long = (command.options + Command.common).map(\.long)
            #expect(Set(long).count == long.count, "\(path)")
            let short = command.options.compactMap(\.short)
            #expect(Set(short).count == short.count, "\(path)")
        }
    }

    @Test func candidatesFollowTheTable() {
        func complete(_ line: String) -> [String] {
            Completer.candidates(line.split(separator: " ", omittingEmptySubsequences: false).map(String.init)) {
                switch $0 {
                case .images: ["busybox:latest", "nginx:latest"]
                case .runningContainers, .containers: ["web", "db"]
                case .networks: ["bridge"]
                case .runs: ["20261126-094512"]
                default: []
                }
            }
        }
        #expect(complete("rest") == ["restart", "restore"])
        #expect(complete("network c") == ["connect", "create"])
        #expect(complete("run --allo") == ["--allocation"])
        #expect(complete("run --allocation d") == ["dedicated"])
        #expect(complete("run --network ") == ["bridge"])
        #expect(complete("run -it --rm b") == ["busybox:latest"])
        #expect(complete("run busybox ") == [])
        #expect(complete("lab p") == ["profile", "prune"])
        #expect(complete("lab rm 2026") == ["20261126-094512"])
        #expect(complete("lab run --resume ") == ["20261126-094512"])
        #expect(complete("stop w") == ["web"])
        #expect(complete("stop web d") == ["db"])
        #expect(complete("nonsense ") == [])
    }
}
