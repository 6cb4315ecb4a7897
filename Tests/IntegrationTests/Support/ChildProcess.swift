import Base
import Glibc
import Kernel
import Synchronization

/// A program run to its end, with a deadline: what hangs is killed with its whole process group.
struct ChildProcess {
    let code: Int32
    let output: String
    let error: String
    let hasTimedOut: Bool

    private static let threads = WorkerThreads(limit: 64)

    /// - Parameters:
    ///   - input: what it reads from its standard input; then end of file.
    ///   - deadline: seconds.
    static func run(
        _ arguments: [String], environment: [String: String], folder: String, input: [UInt8] = [], deadline: Double
    ) async throws -> ChildProcess {
        try await threads.run {
            try runBlocking(
                arguments, environment: environment, folder: folder, input: input, deadline: deadline)
        }
    }

    static func runBlocking(
        _ arguments: [String], environment: [String: String], folder: String, input: [UInt8] = [], deadline: Double
    ) throws -> ChildProcess {
        let child = try BackgroundProcess(arguments, environment: environment, folder: folder)
        let limit = SystemClock.monotonicNanoseconds() + Int64(deadline * 1e9)
        var rest = input[...]
        var collected: [[UInt8]] = [[], []]
        var open = [true, true]
        var hasTimedOut = false
        while open[0] || open[1] {
            if rest.isEmpty { child.input.close() }
            var pollers = [
                pollfd(fd: open[0] ? child.output.raw : -1, events: Int16(POLLIN), revents: 0),
                pollfd(fd: open[1] ? child.error.raw : -1, events: Int16(POLLIN), revents: 0),
                pollfd(fd: rest.isEmpty ? -1 : child.input.raw, events: Int16(POLLOUT), revents: 0),
            ]
            let left = (limit - SystemClock.monotonicNanoseconds()) / 1_000_000
            guard left > 0, poll(&pollers, 3, Int32(left)) > 0 else {
                if left > 0, errno == EINTR { continue }
                hasTimedOut = true
                break
            }
            for index in 0..<2 where pollers[index].revents != 0 {
                let bytes = try Pipe.read(pollers[index].fd, upTo: 65536)
                collected[index] += bytes
                if bytes.isEmpty { open[index] = false }
            }
            if pollers[2].revents != 0 {
                let count = rest.withUnsafeBytes { write(child.input.raw, $0.baseAddress, min($0.count, 4096)) }
                rest = count > 0 ? rest.dropFirst(count) : []
            }
        }
        let code = child.end(killing: hasTimedOut, by: limit)
        return ChildProcess(
            code: code, output: String(decoding: collected[0], as: UTF8.self),
            error: String(decoding: collected[1], as: UTF8.self), hasTimedOut: hasTimedOut || code < 0)
    }
}

/// A program that runs beside a test, in a process group of its own, with pipes to its three streams.
final class BackgroundProcess: @unchecked Sendable {
    // @unchecked: used by one test at a time.
    let pid: pid_t
    let input: OwnedDescriptor
    let output: OwnedDescriptor
    let error: OwnedDescriptor
    private var hasEnded = false

    /// Pipes become close-on-exec after they are made: no other child may start in between, or it keeps them open.
    private static let spawning = Mutex(())

    init(_ arguments: [String], environment: [String: String], folder: String) throws {
        (pid, input, output, error) = try BackgroundProcess.spawning.withLock { _ in
            try BackgroundProcess.spawn(arguments, environment, folder)
        }
    }

    private static func spawn(
        _ arguments: [String], _ environment: [String: String], _ folder: String
    ) throws -> (pid_t, OwnedDescriptor, OwnedDescriptor, OwnedDescriptor) {
        func makePipe() throws -> (read: OwnedDescriptor, write: OwnedDescriptor) {
            var ends: [Int32] = [0, 0]
            try checkErrno(BackgroundProcess.closedOnExec(&ends), "pipe")
            return (OwnedDescriptor(ends[0]), OwnedDescriptor(ends[1]))
        }
        let (inputEnd, inputStart) = try makePipe()
        let (outputEnd, outputStart) = try makePipe()
        let (errorEnd, errorStart) = try makePipe()
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_adddup2(&actions, inputEnd.raw, 0)
        posix_spawn_file_actions_adddup2(&actions, outputStart.raw, 1)
        posix_spawn_file_actions_adddup2(&actions, errorStart.raw, 2)
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var none = sigset_t()
        sigemptyset(&none)
        posix_spawnattr_setsigmask(&attributes, &none)
        // POSIX_SPAWN_SETPGROUP and POSIX_SPAWN_SETSIGMASK of spawn.h.
        posix_spawnattr_setflags(&attributes, Int16(0x02 | 0x08))
        var vector: [UnsafeMutablePointer<CChar>?] = (["env", "-C", folder] + arguments).map { strdup($0) }
        vector.append(nil)
        var variables: [UnsafeMutablePointer<CChar>?] = environment.map { strdup("\($0.key)=\($0.value)") }
        variables.append(nil)
        defer { for pointer in vector + variables { free(pointer) } }
        var child: pid_t = 0
        let failure = posix_spawn(&child, "/usr/bin/env", &actions, &attributes, vector, variables)
        guard failure == 0 else { throw KernelError("posix_spawn", arguments[0], errno: failure) }
        return (child, inputStart, outputEnd, errorEnd)
    }

    private static func closedOnExec(_ ends: inout [Int32]) -> Int32 {
        let result = pipe(&ends)
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        return result
    }

    /// Waits for its end and answers its exit code, 128 + n after signal n; -1 when it had to be killed.
    func end(killing: Bool, by limit: Int64) -> Int32 {
        guard !hasEnded else { return -1 }
        hasEnded = true
        var killed = false
        func killGroup() {
            killed = true
            kill(-pid, SIGKILL)
        }
        if killing { killGroup() }
        var status: Int32 = 0
        while waitpid(pid, &status, WNOHANG) == 0 {
            if !killed, SystemClock.monotonicNanoseconds() > limit { killGroup() }
            usleep(1000)
        }
        if killed { return -1 }
        return status & 0x7F == 0 ? (status >> 8) & 0xFF : 128 + (status & 0x7F)
    }

    deinit {
        guard !hasEnded else { return }
        kill(-pid, SIGKILL)
        var status: Int32 = 0
        waitpid(pid, &status, 0)
    }
}
