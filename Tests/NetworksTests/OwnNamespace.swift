import Glibc
import Kernel
import TestSupport
import Testing

/// Runs a suite again in a network and mount namespace of its own, so that the host sees nothing of it: a process with
/// threads cannot change its namespace.
enum OwnNamespace {
    private static let marker = "SKALA_TEST_NAMESPACE"
    /// The suite's own tests are for inside.
    static let isInside = getenv(marker) != nil

    /// Whether the suite can be run; where not, that is counted as skipped. A program that is missing is an error:
    /// scripts/install-dependencies.sh installs them.
    static func isPossible(for suite: String, with programs: [String] = []) throws -> Bool {
        guard getuid() == 0 else {
            print("SKIP: \(suite): needs root")
            return false
        }
        let missing = (["/usr/bin/unshare"] + programs).filter { access($0, X_OK) != 0 }
        try #require(missing.isEmpty, "\(missing) are needed")
        return true
    }

    /// - Returns: the exit status, and what the tests printed.
    static func run(_ suite: String) async throws -> (status: Int32, text: String) {
        var buffer = [CChar](repeating: 0, count: 4096)
        let count = readlink("/proc/self/exe", &buffer, buffer.count)
        let program = String(decoding: buffer.prefix(max(0, count)).map(UInt8.init(bitPattern:)), as: UTF8.self)
        let bundle = CommandLine.arguments.dropFirst().filter { $0.hasSuffix(".xctest") }
        let output = try TemporaryFolder()
        // The shell keeps what the tests print, for the case that they fail.
        let command =
            [
                "/bin/sh", "-c", "log=$1; shift; exec \"$@\" >\"$log\" 2>&1", "sh", output.path + "/log",
                "/usr/bin/env", marker + "=1", "/usr/bin/unshare", "--net", "--mount", program,
            ] + bundle + ["--testing-library", "swift-testing", "--filter", "NetworksTests.\(suite)"]
        let status = try await WorkerThreads(limit: 1).run { try Subprocess.run(command) }
        return (status, try output.text("log"))
    }
}
