import CLinux
import Glibc
import CSeccomp

/// Helper programs that run for a short time. Blocking: call on `WorkerThreads`.
public enum Subprocess {
    /// Runs a program to its end with `/dev/null` as its input and its output to ours.
    ///
    /// - Parameter inheriting: a descriptor the program gets as number 3.
    /// - Returns: the exit status, 128 + signal when it was killed.
    public static func run(_ arguments: [String], inheriting descriptor: Int32? = nil) throws(KernelError) -> Int32 {
        try wait(spawn(arguments, inheriting: descriptor))
    }

    /// The program of that name in the folders of `path`, a list as `PATH` has it.
    public static func find(_ name: String, path: String) -> String? {
        path.split(separator: ":").map { "\($0)/\(name)" }.first { access($0, X_OK) == 0 }
    }

    /// Runs a program and answers what it prints, at most `limit` bytes.
    ///
    /// - Parameter input: what it reads, at most a pipe's 64 KiB.
    /// - Throws: `EIO` when it fails.
    public static func output(
        _ arguments: [String], input: [UInt8]? = nil, limit: Int
    ) throws(KernelError) -> String {
        let (reading, writing) = try Pipe.make()
        var source: OwnedDescriptor?
        if let input {
            guard input.count <= 1 << 16 else { throw KernelError("run", arguments[0], errno: E2BIG) }
            let (read, write) = try Pipe.make()
            try FileContents.append(input, to: write.raw, "pipe")
            write.close()
            source = read
        }
        let pid = try spawn(arguments, input: source?.raw, output: writing.raw)
        writing.close()
        source?.close()
        var text: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 16 * 1024)
        while text.count < limit {
            let count = read(reading.raw, &buffer, buffer.count)
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { break }
            text.append(contentsOf: buffer[0..<count])
        }
        reading.close()
        guard try wait(pid) == 0 else { throw KernelError("run", arguments.joined(separator: " "), errno: EIO) }
        return String(decoding: text, as: UTF8.self)
    }

    /// Runs a program and hands on what it prints, on standard output and error alike, as it comes.
    ///
    /// - Parameter isCancelled: asked several times a second; the program is killed when it says so.
    /// - Returns: the exit status, 128 + signal when it was killed.
    public static func stream(
        _ arguments: [String], isCancelled: () -> Bool, _ body: ([UInt8]) -> Void
    ) throws(KernelError) -> Int32 {
        var ends: [Int32] = [0, 0]
        try check(cl_pipe2(&ends, 0), "pipe2")
        let reading = OwnedDescriptor(ends[0])
        let writing = OwnedDescriptor(ends[1])
        let pid = try spawn(arguments, output: writing.raw, errors: writing.raw, newSession: true)
        writing.close()
        var buffer = [UInt8](repeating: 0, count: 16 * 1024)
        while true {
            var poller = pollfd(fd: reading.raw, events: Int16(POLLIN), revents: 0)
            let ready = poll(&poller, 1, 200)
            // Its helpers are in its session, which is its process group.
            if isCancelled() { kill(-pid, SIGKILL) }
            guard ready > 0 else { continue }
            let count = read(reading.raw, &buffer, buffer.count)
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { break }
            body(Array(buffer[0..<count]))
        }
        return try wait(pid)
    }

    /// Waits for a program's end: its exit status, 128 + signal when it was killed.
    public static func wait(_ pid: pid_t) throws(KernelError) -> Int32 {
        var status: Int32 = 0
        while waitpid(pid, &status, 0) < 0 {
            guard errno == EINTR else { throw KernelError("waitpid", "\(pid)", errno: errno) }
        }
        return status & 0x7F == 0 ? (status >> 8) & 0xFF : 128 + (status & 0x7F)
    }

    /// Starts a program, which gets no other descriptors than those below; the caller waits for it.
    ///
    /// - Parameters:
    ///   - input: a descriptor that becomes its standard input; `/dev/null` without one.
    ///   - output, errors: descriptors that become its standard output and error.
    ///   - newSession: it gets a session of its own, and so outlives our terminal.
    public static func spawn(
        _ arguments: [String], inheriting descriptor: Int32? = nil, input: Int32? = nil, output: Int32? = nil,
        errors: Int32? = nil,
        newSession: Bool = false
    ) throws(KernelError) -> pid_t {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        if let input {
            posix_spawn_file_actions_adddup2(&actions, input, 0)
        } else {
            posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        }
        if let output { posix_spawn_file_actions_adddup2(&actions, output, 1) }
        if let errors { posix_spawn_file_actions_adddup2(&actions, errors, 2) }
        if let descriptor { posix_spawn_file_actions_adddup2(&actions, descriptor, 3) }
        // Who started us may have left us some that are not ours: shells, to which 10 is no number, stumble over many.
        try check(cl_spawn_close_from(&actions, descriptor == nil ? 3 : 4), "spawn", arguments[0])
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var none = sigset_t()
        sigemptyset(&none)
        var all = sigset_t()
        sigfillset(&all)
        posix_spawnattr_setsigmask(&attributes, &none)
        posix_spawnattr_setsigdefault(&attributes, &all)
        // POSIX_SPAWN_SETSIGMASK, POSIX_SPAWN_SETSIGDEF and POSIX_SPAWN_SETSID of spawn.h.
        posix_spawnattr_setflags(&attributes, Int16(0x08 | 0x04 | (newSession ? 0x80 : 0)))
        var pid: pid_t = 0
        var vector = arguments.map { strdup($0) }
        vector.append(nil)
        defer { for pointer in vector { free(pointer) } }
        let failure = posix_spawn(&pid, arguments[0], &actions, &attributes, vector, environ)
        guard failure == 0 else { throw KernelError("spawn", arguments[0], errno: failure) }
        return pid
    }
}
