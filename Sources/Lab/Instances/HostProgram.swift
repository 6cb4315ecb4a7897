import Base
import Glibc
import Kernel

/// Programs of the host that the lab makes use of.
enum HostProgram {
    /// The path of a program where systems have theirs, whatever the user's PATH is; nil when it is not installed.
    static func find(_ program: String) -> String? {
        Subprocess.find(program, path: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
    }
}

/// Commands of the host, with deadlines.
enum HostCommand {
    /// Runs a command to its end; what it starts is killed with it after the deadline.
    ///
    /// - Parameter input: a descriptor that becomes its standard input.
    /// - Throws: `.cancelled` when the user stops.
    static func run(_ command: [String], input: Int32? = nil, until deadline: Deadline) throws -> Execution {
        let started = SystemClock.monotonicNanoseconds()
        let (reading, writing) = try Pipe.make()
        let pid = try Subprocess.spawn(
            command, input: input, output: writing.raw, errors: writing.raw, newSession: true)
        writing.close()
        var output = BoundedText()
        var ended = false
        defer { reading.close() }
        do { ended = try deadline.read(reading.raw) { output.append($0) } } catch {
            _ = try end(pid)
            throw error
        }
        let status = ended ? try Subprocess.wait(pid) : try end(pid)
        return Execution(
            status: ended ? status : nil, output: output.text, elapsed: SystemClock.monotonicNanoseconds() - started)
    }

    /// Runs a command that leaves something behind which keeps its output open.
    ///
    /// - Returns: its exit status; nil after the deadline, when it has been killed.
    static func start(_ command: [String], log: Int32, until deadline: Deadline) throws -> Int32? {
        let pid = try Subprocess.spawn(command, output: log, errors: log, newSession: true)
        do {
            // What it takes is measured: a wait that is much shorter.
            if try deadline.wait(every: 200_000, { hasEnded(pid) }) { return try Subprocess.wait(pid) }
        } catch {
            _ = try end(pid)
            throw error
        }
        _ = try end(pid)
        return nil
    }

    /// Whether a child has ended, or was never there; it is still to be waited for.
    static func hasEnded(_ pid: pid_t) -> Bool {
        var information = siginfo_t()
        guard waitid(P_PID, id_t(pid), &information, WEXITED | WNOHANG | WNOWAIT) == 0 else { return true }
        return information.si_signo == SIGCHLD
    }

    /// Kills a command with its helpers: they are in its session, and so in its process group.
    static func end(_ pid: pid_t) throws -> Int32 {
        kill(-pid, SIGKILL)
        return try Subprocess.wait(pid)
    }
}

/// Sets of the host's processors, as taskset and cpuset take them.
enum ProcessorSet {
    /// The last so many, at least one, as `2-3`: those that the engine gives first, since the first ones take most of the host's
    /// interrupts.
    static func last(_ count: Double, of all: Int = HostFacts.onlineCPUs) -> String {
        text(all - whole(count, all), all - 1)
    }

    /// All but those; nil where there are no others.
    static func allBut(last count: Double, of all: Int = HostFacts.onlineCPUs) -> String? {
        let rest = all - whole(count, all)
        return rest > 0 ? text(0, rest - 1) : nil
    }

    private static func whole(_ count: Double, _ all: Int) -> Int { max(1, min(all, Int(count.rounded(.up)))) }

    private static func text(_ first: Int, _ last: Int) -> String { first == last ? "\(first)" : "\(first)-\(last)" }
}
