import Base
import Glibc
import Kernel

/// A command of the host by which a script is run elsewhere.
enum HostCommand {
    /// Runs it in a session of its own to its end, and takes what it says on standard output and error; kills it with its helpers at the deadline.
    ///
    /// - Parameter input: a descriptor that becomes its standard input.
    /// - Throws: `.cancelled` when the user stops; it is killed then, too.
    static func execute(_ command: [String], input: Int32? = nil, until deadline: Deadline) throws -> Execution {
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

    /// Kills a command with its helpers: they are in its session, and so in its process group.
    static func end(_ pid: pid_t) throws -> Int32 {
        kill(-pid, SIGKILL)
        return try Subprocess.wait(pid)
    }
}
