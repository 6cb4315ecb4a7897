import Glibc
import Testing

@testable import SkalaCLI

struct TerminationCountTests {
    @Test func theThirdSignalEndsTheProgram() throws {
        var count = TerminationCount(id: String(repeating: "ab", count: 32))
        for signal in [SIGINT, SIGHUP, SIGUSR1, SIGWINCH, SIGTERM, SIGQUIT] { try count.take(signal) }
        let failure = #expect(throws: CommandFailure.self) { try count.take(SIGINT) }
        #expect(failure?.status == 130)
        #expect(
            failure?.message == "left abababababab running after 3 signals to end; 'skala stop abababababab' stops it")
    }
}
