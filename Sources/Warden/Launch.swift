import Base
import CLinux
import Glibc
import Kernel

/// A pair of pipe ends, both close-on-exec.
struct Pipe {
    let reading: OwnedDescriptor
    let writing: OwnedDescriptor

    init() throws(KernelError) {
        var ends: [Int32] = [-1, -1]
        try check(cl_pipe2(&ends, 0), "pipe2")
        reading = OwnedDescriptor(ends[0])
        writing = OwnedDescriptor(ends[1])
    }

    static func makeNonblocking(_ file: OwnedDescriptor) throws(KernelError) {
        try check(cl_fcntl(file.raw, F_SETFL, Int(O_NONBLOCK)), "fcntl")
    }
}

/// A first process that has been cloned and carries out its plan.
final class Launch {
    /// What the report pipe told.
    enum Report {
        /// The process waits for `release`.
        case ready
        /// The process waits for the host's hooks, then for `release`.
        case hooks
        /// The process installed a filter with this descriptor as its listener, and waits for `release`.
        case listener(Int32)
        /// The program runs (or the process was killed before; its pidfd tells).
        case executed
        case failed(SkalaError)
    }

    let plan: ChildPlan
    let pid: Int32
    let pidfd: OwnedDescriptor
    let report: OwnedDescriptor
    private let gate: OwnedDescriptor?
    /// What must stay until the process has carried out its plan.
    private var held: AnyObject?

    /// Clones. `pidNamespace` is joined by the child alone.
    init(
        plan: ChildPlan, flags: UInt64, cgroup: String?, gate: OwnedDescriptor?, pidNamespace: OwnedDescriptor? = nil,
        holding held: AnyObject? = nil
    ) throws {
        let pipe = try Pipe()
        let directory = try cgroup.map { path throws(KernelError) in
            try OwnedDescriptor.open(path, CL_O_PATH | CL_O_DIRECTORY)
        }
        let own = try pidNamespace.map { _ throws(KernelError) in
            try OwnedDescriptor.open("/proc/self/ns/pid", O_RDONLY)
        }
        if let pidNamespace { try check(cl_setns(pidNamespace.raw, 0x2000_0000), "setns", "pid namespace") }
        var descriptor: Int32 = -1
        let result = plan.steps.withUnsafeBufferPointer {
            cl_spawn($0.baseAddress, Int32($0.count), pipe.writing.raw, flags, directory?.raw ?? -1, &descriptor)
        }
        if let own { try check(cl_setns(own.raw, 0x2000_0000), "setns", "own pid namespace") }
        pid = try check(result, "clone3")
        pidfd = OwnedDescriptor(descriptor)
        report = pipe.reading
        self.plan = plan
        self.gate = gate
        self.held = held
    }

    /// Lets a waiting process go on.
    func release() throws(KernelError) {
        guard let gate else { return }
        var byte: UInt8 = 0x67
        try checkErrno(write(gate.raw, &byte, 1), "write", "start gate")
    }

    /// Reads the report pipe, waiting until something is there.
    func read() -> Report {
        var message = cl_report()
        while true {
            let count = Glibc.read(report.raw, &message, MemoryLayout<cl_report>.size)
            if count < 0, errno == EINTR { continue }
            if count == MemoryLayout<cl_report>.size { break }
            held = nil
            return .executed
        }
        switch message.stage {
        case CL_STAGE_READY:
            held = nil
            return .ready
        case CL_STAGE_HOOKS: return .hooks
        case CL_STAGE_LISTENER: return .listener(message.error)
        default: break
        }
        let index = Int(message.stage)
        let what = plan.descriptions.indices.contains(index) ? plan.descriptions[index] : "start"
        let error = KernelError(what, "", errno: message.error)
        let kind = index < plan.steps.count && index >= 0 ? UInt32(plan.steps[index].kind) : 0
        return .failed(
            Launch.isProgram(kind) ? error.asSkalaError : SkalaError(.system, error.description, cause: error))
    }

    /// Only the program itself can be "not found" or "forbidden"; the same numbers from other steps are failures of ours.
    private static func isProgram(_ kind: UInt32) -> Bool {
        kind == CL_STEP_EXECUTE.rawValue || kind == CL_STEP_CHECK_PROGRAM.rawValue
    }

    func signal(_ number: Int32) throws(KernelError) {
        try check(cl_pidfd_send_signal(pidfd.raw, number), "signal \(number)", "process \(pid)")
    }

    /// How the process ended, or nil while it runs.
    func reap() -> ExitStatus? {
        var code: Int32 = 0
        var signal: Int32 = 0
        let result = cl_pidfd_reap(pidfd.raw, &code, &signal)
        if result == -EAGAIN { return nil }
        // Reaped by nobody else; ECHILD would mean the kernel forgot it, which counts as killed.
        return result < 0
            ? ExitStatus(code: 137, signal: SIGKILL)
            : ExitStatus(code: signal > 0 ? 128 + signal : code, signal: signal)
    }

    /// Kills and reaps; waits at most five seconds.
    func destroy() {
        _ = cl_pidfd_send_signal(pidfd.raw, SIGKILL)
        var poller = pollfd(fd: pidfd.raw, events: Int16(POLLIN), revents: 0)
        _ = poll(&poller, 1, 5000)
        _ = reap()
    }
}

/// How a process ended.
struct ExitStatus: Hashable {
    /// The exit code; 128 + the signal when killed.
    var code: Int32
    /// Zero when it exited.
    var signal: Int32
}
