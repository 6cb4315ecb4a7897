import Base
import Glibc
import Kernel

/// An image's programs on the host itself, without limits and in the host's network: the baseline. The programs see the image's
/// files (chroot), so that the same bytes run everywhere; a process and a mount namespace, which cost nothing while programs run, see
/// to it that nothing stays behind.
final class ProcessInstance: Instance {
    let address = "127.0.0.1"
    private let root: String
    /// Processors it may use, as taskset takes them; nil for all.
    private let processors: String?
    private let logFile: String
    private var holder: pid_t = 0
    /// The first process in the namespaces.
    private var first: pid_t = 0

    /// - Parameters:
    ///   - root: the image's files.
    ///   - scratch: a folder for what it says.
    init(_ spec: InstanceSpec, root: String, scratch: String) throws {
        self.root = root
        logFile = scratch + "/process.log"
        processors = spec.allocation == .dedicated ? ProcessorSet.last(spec.processors) : nil
        for name in ["proc", "dev", "sys", "run", "tmp"] { try FileContents.makeDirectories("\(root)/\(name)") }
        let mounts =
            "mount -t proc proc \(root)/proc && mount --rbind /dev \(root)/dev && mount --rbind /sys \(root)/sys"
            + " && mount -t tmpfs tmpfs \(root)/run && mount -t tmpfs tmpfs \(root)/tmp"
        let environment = spec.environment.map(ShellText.quote).joined(separator: " ")
        let program = ShellText.quote(spec.program ?? "exec sleep 1000000")
        let pinned = processors.map { "taskset -c \($0) " } ?? ""
        let start = "\(mounts) && exec env \(environment) \(pinned)chroot \(root) /bin/sh -c \(program)"
        let log = OwnedDescriptor(
            try checkErrno(open(logFile, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600), "open", logFile))
        holder = try Subprocess.spawn(
            [
                "/usr/bin/unshare", "--mount", "--pid", "--fork", "--kill-child", "--propagation", "private", "/bin/sh",
                "-c", start,
            ], output: log.raw, errors: log.raw, newSession: true)
        do {
            try findFirst()
        } catch {
            remove()
            throw error
        }
    }

    /// The child of unshare, once it is there.
    private func findFirst() throws {
        let deadline = SystemClock.monotonicNanoseconds() + 5_000_000_000
        while SystemClock.monotonicNanoseconds() < deadline {
            let children = try FileContents.read("/proc/\(holder)/task/\(holder)/children")
            let text = String(decoding: children, as: UTF8.self)
            // It is in its root once it has left the host's.
            if let child = text.split(separator: " ").first.flatMap({ pid_t($0) }), isInRoot(child) {
                first = child
                return
            }
            usleep(2_000)
        }
        throw SkalaError(.system, "the program did not start: \(log())")
    }

    private func isInRoot(_ process: pid_t) -> Bool {
        var path = [CChar](repeating: 0, count: Int(PATH_MAX))
        let count = readlink("/proc/\(process)/root", &path, path.count - 1)
        return count > 0 && String(decoding: path[0..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self) == root
    }

    func execute(_ script: String, environment: [String], until deadline: Deadline) throws -> Execution {
        let pinned = processors.map { ["/usr/bin/taskset", "-c", $0] } ?? []
        let command =
            ["/usr/bin/nsenter", "--target", "\(first)", "--mount", "--pid", "--"] + ["/usr/bin/env"] + environment
            + pinned + ["/usr/sbin/chroot", root, "/bin/sh", "-c", script]
        return try HostCommand.run(command, until: deadline)
    }

    func isRunning() throws -> Bool { first != 0 && kill(first, 0) == 0 }

    // It is for an error's text: without it the error is still told.
    func log() -> String { String(decoding: ((try? FileContents.read(logFile)) ?? []).suffix(2000), as: UTF8.self) }

    func remove() {
        guard holder != 0 else { return }
        // The namespace's first process takes all others with it, and they their mounts.
        if first != 0 { kill(first, SIGKILL) }
        kill(-holder, SIGKILL)
        // It can only fail when it has been waited for.
        _ = try? Subprocess.wait(holder)
        holder = 0
        first = 0
    }
}
