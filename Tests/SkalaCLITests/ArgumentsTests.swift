import Base
import Testing

@testable import SkalaCLI

struct ArgumentsTests {
    private static let command = Command(
        "test", "Tests", "[OPTIONS] ARG...", Command.atLeast(0),
        options: [
            .flag("interactive", short: "i", ""), .flag("tty", short: "t", ""), .flag("rm", ""),
            .list("publish", short: "p", "PORT", ""), .value("name", "NAME", ""),
            .value("memory", short: "m", "SIZE", ""),
        ], examples: ["skala test"]
    ) { _ in 0 }

    private static let stopping = Command(
        "run", "Runs", "[OPTIONS] IMAGE", Command.atLeast(1), stopsAtArgument: true, options: command.options,
        examples: ["skala run"]
    ) { _ in 0 }

    @Test func formsOfOptions() throws {
        let words = "-it --rm -p 80 -p81:81 -p=82 --publish=83 --name a --name=b -m 5m x --tty=false -- -y"
        let arguments = try Arguments(words.split(separator: " ").map(String.init), for: ArgumentsTests.command)
        #expect(arguments.flag("interactive") && arguments.flag("rm") && !arguments.flag("tty"))
        #expect(arguments.has("tty"))
        #expect(arguments.list("publish") == ["80", "81:81", "82", "83"])
        #expect(arguments["name"] == "b")
        #expect(try arguments.bytes("memory") == 5 << 20)
        #expect(arguments.positional == ["x", "-y"])
    }

    @Test func aFlagsLastLetterMayHaveAValue() throws {
        let arguments = try Arguments(["-itp", "80", "-it=false"], for: ArgumentsTests.command)
        #expect(arguments.flag("interactive") && !arguments.flag("tty"))
        #expect(arguments.list("publish") == ["80"])
    }

    @Test func whatFollowsTheImageIsTheContainers() throws {
        let words = ["-i", "busybox", "-t", "--nonsense", "--", "x"]
        let arguments = try Arguments(words, for: ArgumentsTests.stopping)
        #expect(arguments.flag("interactive") && !arguments.flag("tty"))
        #expect(arguments.positional == ["busybox", "-t", "--nonsense", "--", "x"])
    }

    @Test func aDashAloneIsAnArgument() throws {
        #expect(try Arguments(["-", "a"], for: ArgumentsTests.command).positional == ["-", "a"])
    }

    @Test(arguments: [
        ["--nope"], ["-x"], ["-ix"], ["--name"], ["-m"], ["--rm=maybe"], ["-i=2"],
    ])
    func mistakesAreNamed(words: [String]) {
        let error = #expect(throws: SkalaError.self) { try Arguments(words, for: ArgumentsTests.command) }
        #expect(error?.code == .invalid)
    }

    @Test func valuesThatAreNoneAreNamedWithTheirOption() throws {
        let arguments = try Arguments(["-m", "lots", "--name", "x"], for: ArgumentsTests.command)
        let error = #expect(throws: SkalaError.self) { try arguments.bytes("memory") }
        #expect(error?.message == "invalid value 'lots' for --memory: expected a size such as 512m")
        #expect(throws: SkalaError.self) { try arguments.int("name") }
        #expect(throws: SkalaError.self) { try arguments.duration("name") }
    }
}
