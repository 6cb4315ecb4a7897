import Base
import Kernel
import Synchronization
import Testing

/// One test's use of the common engine: a name prefix (`$N` in scripts) and a folder of its own; containers, networks,
/// volumes and images whose names start with the prefix are removed afterwards.
struct Session: Sendable {
    let engine: EngineFixture
    let name: String
    let folder: String
    private static let count = Atomic<Int>(0)

    /// Runs `body` against the suite's engine.
    static func run(_ body: (Session) async throws -> Void) async throws {
        guard let engine = EngineFixture.current else { return skip("session", "no engine") }
        let session = try Session(engine)
        do {
            try await body(session)
        } catch {
            await session.clean()
            throw error
        }
        await session.clean()
    }

    init(_ engine: EngineFixture) throws {
        self.engine = engine
        name = "t\(Session.count.add(1, ordering: .relaxed).newValue)"
        folder = engine.folder + "/work/" + name
        try FileContents.makeDirectories(folder)
    }

    func clean() async {
        let script = """
            docker ps -aq --filter name=^/${N}[^0-9] | xargs -r docker rm -fv
            docker ps -aq --filter label=test=$N | xargs -r docker rm -fv
            docker network ls -q --filter name=^${N}[^0-9] | xargs -r docker network rm
            docker volume ls -q --filter name=^${N}[^0-9] | xargs -r docker volume rm
            docker images --filter reference="$N*" --format '{{.Repository}}:{{.Tag}}' | xargs -r docker rmi -f
            """
        // What fails here shows as a leak in the tests of leaks.
        _ = try? await engine.run(script, name: name)
        try? FileContents.removeTree(folder)
    }

    /// Runs a script that must succeed, and answers what it printed, without the last newline.
    @discardableResult
    func sh(
        _ script: String, input: String = "", deadline: Double = 60,
        sourceLocation: SourceLocation = #_sourceLocation
    ) async throws -> String {
        let result = try await raw(script, input: input, deadline: deadline)
        if result.code != 0 {
            Issue.record(
                "exit \(result.code)\(result.hasTimedOut ? " (deadline)" : "") of: \(script)\n\(result.output)\(result.error)",
                sourceLocation: sourceLocation)
        }
        return trimmed(result.output)
    }

    /// The script's exit code, output and errors.
    func raw(_ script: String, input: String = "", deadline: Double = 60) async throws -> ChildProcess {
        try await engine.run(script, name: name, folder: folder, input: input, deadline: deadline)
    }

    /// Runs a script that must print exactly `expected`.
    func sh(
        _ script: String, prints expected: String, input: String = "", deadline: Double = 60,
        sourceLocation: SourceLocation = #_sourceLocation
    ) async throws {
        let output = try await sh(script, input: input, deadline: deadline, sourceLocation: sourceLocation)
        #expect(output == expected, "\(script)", sourceLocation: sourceLocation)
    }

    /// Runs a script that must print text with `parts` in it.
    func sh(
        _ script: String, has first: String, _ more: String..., sourceLocation: SourceLocation = #_sourceLocation
    ) async throws {
        let output = try await sh(script, sourceLocation: sourceLocation)
        for part in [first] + more where !output.contains(part) {
            Issue.record("no '\(part)' in the output of: \(script)\n\(output)", sourceLocation: sourceLocation)
        }
    }

    /// Runs a script that must end with `code` and an error that has `text` in it.
    func fails(
        _ script: String, _ code: Int32 = 1, _ text: String, sourceLocation: SourceLocation = #_sourceLocation
    ) async throws {
        let result = try await raw(script)
        #expect(result.code == code, "\(script)\n\(result.output)\(result.error)", sourceLocation: sourceLocation)
        if !(result.output + result.error).contains(text) {
            Issue.record(
                "no '\(text)' in what failed: \(script)\n\(result.output)\(result.error)",
                sourceLocation: sourceLocation)
        }
    }

    /// Repeats a script until it prints `expected`, 15 s at most.
    func eventually(
        _ script: String, prints expected: String, sourceLocation: SourceLocation = #_sourceLocation
    ) async throws {
        var last = ""
        for _ in 0..<150 {
            let result = try await raw(script)
            last = trimmed(result.output)
            if last == expected { return }
            try await Task.sleep(for: .milliseconds(100))
        }
        Issue.record("still '\(last)', not '\(expected)': \(script)", sourceLocation: sourceLocation)
    }

    private func trimmed(_ text: String) -> String {
        var text = text[...]
        while text.last == "\n" { text.removeLast() }
        return String(text)
    }
}
