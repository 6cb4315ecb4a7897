import Base
import CLinux
import Glibc
import Testing

@testable import Store

private let childVariable = "SKALA_STORE_CHILD"

@Suite(.timeLimit(.minutes(1)), .serialized)
struct StoreFaultTests {
    /// The process that is killed: writes documents without end and notes each one that `put` has confirmed.
    @Test(.enabled(if: getenv(childVariable) != nil, "runs only as a child of writesSurviveKill"))
    func childWritesUntilKilled() async throws {
        guard let variable = getenv(childVariable) else { return }
        let folder = String(cString: variable)
        let store = try await Store(path: folder + "/state.db")
        guard let notes = fopen(folder + "/notes", "w") else { throw FileFailure(path: folder, errno: errno) }
        for number in 0... {
            try await store.put(
                "n", "\(number)", ["number": JSON(number), "text": .string(String(repeating: "x", count: 500))])
            fputs(".", notes)
            fflush(notes)
        }
    }

    @Test(arguments: 0..<3) func writesSurviveKill(round: Int) async throws {
        try await withFolder { folder in
            let child = try startChild(folder)
            let deadline = ContinuousClock().now + .seconds(30)
            let wanted = 100 + round * 333
            while ContinuousClock().now < deadline, (try? read(folder + "/notes").count) ?? 0 < wanted {
                try await Task.sleep(for: .milliseconds(2))
            }
            kill(child, SIGKILL)
            waitpid(child, nil, 0)
            let confirmed = try read(folder + "/notes").count
            #expect(confirmed >= wanted)
            let store = try await Store(path: folder + "/state.db")
            let numbers = try await store.all("n").compactMap { $0.body["number"].int }.sorted()
            // Every confirmed write, at most one more, and no gap.
            #expect(numbers == (0..<Int64(numbers.count)).map { $0 })
            #expect((confirmed...confirmed + 1).contains(numbers.count))
            try await store.close()
        }
    }

    private func startChild(_ folder: String) throws -> pid_t {
        // The same test program, told to run the one test above.
        let arguments =
            CommandLine.arguments.prefix(1) + CommandLine.arguments.dropFirst().filter { $0.hasSuffix(".xctest") }
            + ["--testing-library", "swift-testing", "--filter", "childWritesUntilKilled"]
        var environment = ["\(childVariable)=\(folder)"]
        for name in ["PATH", "HOME", "LD_LIBRARY_PATH"] {
            if let value = getenv(name) { environment.append("\(name)=\(String(cString: value))") }
        }
        var argv: [UnsafeMutablePointer<CChar>?] = arguments.map { strdup($0) } + [nil]
        var envp: [UnsafeMutablePointer<CChar>?] = environment.map { strdup($0) } + [nil]
        defer { for text in argv + envp { free(text) } }
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 1, folder + "/output", O_WRONLY | O_CREAT, 0o600)
        posix_spawn_file_actions_adddup2(&actions, 1, 2)
        var child = pid_t()
        let failed = posix_spawn(&child, "/proc/self/exe", &actions, nil, &argv, &envp)
        guard failed == 0 else { throw FileFailure(path: "/proc/self/exe", errno: failed) }
        return child
    }

    @Test func aFullDiskIsAnErrorAndNoLoss() async throws {
        try await withSmallDisk { disk in
            let store = try await Store(path: disk + "/state.db")
            var written = 0
            var failure: SkalaError?
            for number in 0..<10_000 where failure == nil {
                do {
                    try await store.put("n", "\(number)", .string(String(repeating: "x", count: 4000)))
                    written += 1
                } catch let error as SkalaError {
                    failure = error
                }
            }
            #expect(failure?.code == .exhausted, "\(String(describing: failure))")
            #expect(written > 10)
            #expect(try await store.all("n").count == written)
            // Room comes back: writing does too, in the same process.
            guard mount("skala-test", disk, "tmpfs", UInt(MS_REMOUNT), "size=8m") == 0 else {
                throw FileFailure(path: disk, errno: errno)
            }
            try await store.put("n", "later", "y")
            try await store.close()
            let again = try await Store(path: disk + "/state.db")
            #expect(try await again.all("n").count == written + 1)
            try await again.close()
        }
    }

    @Test func oneWriteTooManyFailsAloneAndWhole() async throws {
        try await withSmallDisk { disk in
            let store = try await Store(path: disk + "/state.db")
            let large = String(repeating: "x", count: 400_000)
            let outcomes = await withTaskGroup(of: (Int, SkalaError.Code?).self) { group in
                for number in 0..<20 {
                    group.addTask {
                        do {
                            let documents: [Store.Document] =
                                number == 7
                                ? (0..<5).map { .init(kind: "large", id: "\($0)", body: .string(large)) }
                                : [.init(kind: "small", id: "\(number)", body: 1)]
                            try await store.putAll(documents)
                            return (number, nil)
                        } catch {
                            return (number, (error as? SkalaError)?.code)
                        }
                    }
                }
                return await group.reduce(into: [Int: SkalaError.Code]()) { $0[$1.0] = $1.1 }
            }
            #expect(outcomes == [7: .exhausted])
            #expect(try await store.all("large").isEmpty)
            #expect(try await store.all("small").count == 19)
            try await store.close()
        }
    }

    /// A file system of 1 MiB.
    private func withSmallDisk(_ body: (String) async throws -> Void) async throws {
        try await withFolder { folder in
            let disk = folder + "/disk"
            mkdir(disk, 0o700)
            defer { rmdir(disk) }
            guard mount("skala-test", disk, "tmpfs", 0, "size=1m") == 0 else {
                print("SKIP: mounting a tmpfs needs root: errno \(errno)")
                return
            }
            defer { umount2(disk, Int32(MNT_DETACH)) }
            try await body(disk)
        }
    }
}
