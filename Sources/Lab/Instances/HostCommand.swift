import Base
import Glibc
import Kernel

/// Commands of the host, with deadlines.
enum HostCommand {
    /// Runs it in a session of its own to its end, and takes what it says on standard output and error; kills it with its helpers at the deadline.
    ///
    /// - Parameter input: a descriptor that becomes its standard input.
    /// - Throws: `.cancelled` when the user stops; it is killed then, too.
    static func run(_ command: [String], input: Int32? = nil, until deadline: Deadline) throws -> Execution {
        let started = SystemClock.monotonicNanoseconds()
        let (reading, writing) = try Pipe.make()
        defer { reading.close() }
        let pid = try Subprocess.spawn(
            command, input: input, output: writing.raw, errors: writing.raw, newSession: true)
        writing.close()
        var output = BoundedText()
        var ended = false
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
