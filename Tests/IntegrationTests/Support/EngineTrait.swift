import Base
import Testing

/// Gives a suite, with all suites in it, one engine with the busybox image.
struct EngineTrait: SuiteTrait, TestScoping {
    func provideScope(
        for test: Test, testCase: Test.Case?, performing function: @Sendable () async throws -> Void
    ) async throws {
        if let obstacle = EngineFixture.obstacle { return skip(test.name, obstacle) }
        try await EngineFixture.with { _ in try await function() }
    }
}

extension Trait where Self == EngineTrait {
    static var engine: EngineTrait { EngineTrait() }
}

/// Says that something could not be tested here, and why; the lines are counted by `make test`.
func skip(_ what: String, _ reason: String) { print("SKIP: \(what): \(reason)") }

/// All tests that drive one common engine through real clients. One after another: a prune would take another test's
/// containers and networks.
@Suite(.engine, .serialized) struct Integration {}
