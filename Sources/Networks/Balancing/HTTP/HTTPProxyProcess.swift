import Base
import CLinux
import Glibc
import Kernel

/// The HAProxy process: started, asked, replaced without losing a connection, and ended. Blocking; call on threads.
struct HTTPProxyProcess: Sendable {
    private static let patience: Int64 = 10_000_000_000
    /// An answer's bound: some 700 bytes a server.
    private static let answerLimit = 16 << 20

    let program: String
    let configuration: HTTPConfiguration
    /// Its control group in each hierarchy; made and removed here.
    let groups: [String]
    private var pidFile: String { configuration.folder + "/pid" }
    /// What the running process was started with.
    var structureFile: String { configuration.folder + "/structure" }
    private var log: String { configuration.folder + "/log" }

    /// Checks a configuration without touching the running one.
    ///
    /// - Throws: `.invalid` with HAProxy's first complaint.
    func check(_ file: String) throws {
        let output = try OwnedDescriptor.open(log + ".check", O_RDWR | O_CREAT | O_TRUNC, mode: 0o600)
        defer { unlink(log + ".check") }
        let pid = try Subprocess.spawn(
            [program, "-c", "-q", "-f", file], output: output.raw, errors: output.raw)
        guard try Subprocess.wait(pid) != 0 else { return }
        throw SkalaError(.invalid, "haproxy: \(complaint(log + ".check"))")
    }

    private func complaint(_ path: String) -> String {
        // Without it there is nothing more to say.
        let text = (try? SmallFile.text(path)) ?? ""
        let lines = text.split(separator: "\n")
        return lines.first { $0.contains("[ALERT]") }.map(String.init) ?? lines.last.map(String.init) ?? "it ended"
    }

    /// Starts the process, in the place of an old one when there is one: that one's sockets are taken over, and it ends
    /// when its connections have, after an hour at most.
    ///
    /// - Returns: when it answers, its id.
    func start(replacing old: pid_t?) throws -> pid_t {
        for group in groups { try FileContents.makeDirectories(group) }
        // A file of its own: the process before writes to its one until it ends.
        unlink(log)
        let output = try OwnedDescriptor.open(log, O_WRONLY | O_CREAT | O_EXCL | O_APPEND, mode: 0o600)
        let replacing = old.map { ["-x", configuration.socket, "-sf", "\($0)"] } ?? []
        let pid = try Subprocess.spawn(
            [program, "-db", "-f", configuration.file] + replacing, output: output.raw, errors: output.raw,
            newSession: true)
        for group in groups { try? SmallFile.write("\(pid)", to: group + "/cgroup.procs") }  // it may have ended
        let deadline = SystemClock.monotonicNanoseconds() + HTTPProxyProcess.patience
        while SystemClock.monotonicNanoseconds() < deadline {
            if runningPID() == pid {
                try FileContents.replace(pidFile, with: Array("\(pid)".utf8))
                return pid
            }
            var status: Int32 = 0
            if waitpid(pid, &status, WNOHANG) == pid {
                throw SkalaError(.system, "haproxy does not start: \(complaint(log))")
            }
            usleep(2000)
        }
        kill(pid, SIGKILL)
        _ = try? Subprocess.wait(pid)  // it is gone in any case
        throw SkalaError(.timedOut, "haproxy does not answer")
    }

    /// The process of an earlier daemon, when it still answers.
    func running() -> pid_t? {
        guard let text = try? SmallFile.text(pidFile), let pid = pid_t(text), runningPID() == pid else { return nil }
        return pid
    }

    private func runningPID() -> pid_t? {
        // Not there, or not yet.
        guard let text = try? ask("show info") else { return nil }
        return text.split(separator: "\n").first { $0.hasPrefix("Pid: ") }.flatMap { pid_t($0.dropFirst(5)) }
    }

    /// Waits for the end of a process, a child or not.
    static func wait(_ pid: pid_t) {
        let pidfd = cl_pidfd_open(pid, 0)
        if pidfd >= 0 {
            let descriptor = OwnedDescriptor(pidfd)
            var polled = pollfd(fd: descriptor.raw, events: Int16(POLLIN), revents: 0)
            while poll(&polled, 1, -1) < 0, errno == EINTR {}
        }
        var status: Int32 = 0
        // One of an earlier daemon is not our child.
        waitpid(pid, &status, 0)
    }

    /// Sends commands to the running process.
    func ask(_ commands: String) throws(KernelError) -> String {
        let socket = try UnixSocket.connect(configuration.socket)
        var limit = timeval(tv_sec: 5, tv_usec: 0)
        setsockopt(socket.raw, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        guard UnixSocket.writeAll(socket.raw, Array((commands + "\n").utf8)) else {
            throw KernelError("ask", "haproxy", errno: EPIPE)
        }
        var answer: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 64 * 1024)
        while answer.count < HTTPProxyProcess.answerLimit {
            let count = recv(socket.raw, &buffer, buffer.count, 0)
            if count < 0, errno == EINTR { continue }
            if try checkErrno(count, "ask", "haproxy") == 0 { break }
            answer += buffer[..<count]
        }
        return String(decoding: answer, as: UTF8.self)
    }

    /// It writes a line when a service has no member any more, or a request is held.
    private func boundLog() {
        var status = stat()
        if stat(log, &status) == 0, status.st_size > 1 << 16 { truncate(log, 0) }
    }

    /// Changes servers of the running process.
    ///
    /// - Throws: `.conflict` when it does not know one of them.
    func change(_ commands: [String]) throws {
        boundLog()
        // One request holds 16 KiB.
        for start in stride(from: 0, to: commands.count, by: 100) {
            let answer = try ask(commands[start..<min(start + 100, commands.count)].joined(separator: "; "))
            let fine = ["no need to change", "IP changed", "port changed", "the port"]
            for line in answer.split(separator: "\n") where !fine.contains(where: line.hasPrefix) {
                throw SkalaError(.conflict, "haproxy: \(line)")
            }
        }
    }

    /// Removes what a process that has ended left: its groups.
    func removeGroups() { for group in groups { rmdir(group) } }
}
