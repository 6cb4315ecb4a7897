import Base
import CLinux
import Glibc
import Kernel
import OCI

/// A hook that runs on the host, with the container's state as its standard input.
final class HookProcess {
    let hook: RuntimeHook
    let launch: Launch

    init(_ hook: RuntimeHook, state: JSON) throws {
        self.hook = hook
        let input = OwnedDescriptor(try check(cl_memory_file("state"), "memfd_create"))
        let bytes = state.bytes
        let count = try checkErrno(
            bytes.withUnsafeBytes { write(input.raw, $0.baseAddress, $0.count) }, "write", "state")
        guard count == bytes.count else { throw KernelError("write", "state", errno: ENOSPC) }
        lseek(input.raw, 0, SEEK_SET)
        let plan = ChildPlan()
        plan.add(CL_STEP_STDIO, "set the standard streams", [Int64(input.raw), 1, 2])
        HookProcess.addExecution(of: hook, CL_STEP_EXECUTE, to: plan)
        launch = try Launch(plan: plan, flags: 0, cgroup: nil, gate: nil)
    }

    static func addExecution(
        of hook: RuntimeHook, _ kind: cl_step_kind, _ numbers: [Int64] = [], texts: [String?] = [], to plan: ChildPlan
    ) {
        plan.add(
            kind, "hook \(hook.path)", numbers, texts: texts, data: plan.list([hook.path]),
            data2: plan.list(hook.arguments), data3: plan.list(hook.environment ?? HookProcess.ownEnvironment))
    }

    /// What went wrong, nil when the hook succeeded. Only after it ended.
    func failure() -> SkalaError? {
        if case .failed(let error) = launch.read() {
            _ = launch.reap()
            return error
        }
        guard let exit = launch.reap() else { return timedOut() }
        guard exit.code != 0 else { return nil }
        let how = exit.signal > 0 ? "was killed by signal \(exit.signal)" : "ended with code \(exit.code)"
        return SkalaError(.system, "hook \(hook.path) \(how)")
    }

    /// Kills the hook because it took too long.
    func timedOut() -> SkalaError {
        launch.destroy()
        return SkalaError(.timedOut, "hook \(hook.path) took longer than \(hook.timeout ?? 0) s")
    }

    /// Executes hooks one after another, until one fails.
    static func run(_ hooks: [RuntimeHook], state: JSON) throws {
        for hook in hooks {
            let process = try HookProcess(hook, state: state)
            var poller = pollfd(fd: process.launch.pidfd.raw, events: Int16(POLLIN), revents: 0)
            let limit = hook.timeout.map { Int32(clamping: $0.multipliedReportingOverflow(by: 1000).partialValue) }
            var count: Int32
            repeat { count = poll(&poller, 1, limit ?? -1) } while count < 0 && Glibc.errno == EINTR
            if let error = count == 0 ? process.timedOut() : process.failure() { throw error }
        }
    }

    /// The runtime's own environment, which a hook without one gets.
    private static var ownEnvironment: [String] {
        var texts: [String] = []
        var at = environ
        while let text = at.pointee {
            texts.append(String(cString: text))
            at += 1
        }
        return texts
    }
}

/// Executes hooks one after another without waiting, for the resident warden.
final class HookSequence {
    private let loop: EventLoop
    private var left: ArraySlice<RuntimeHook>
    private let state: JSON
    private var current: HookProcess?
    private var timer: EventLoop.Timer?
    private let done: (SkalaError?) -> Void

    /// - Parameter done: called once: when a hook failed, or when all succeeded.
    init(loop: EventLoop, _ hooks: [RuntimeHook], state: JSON, done: @escaping (SkalaError?) -> Void) {
        self.loop = loop
        left = hooks[...]
        self.state = state
        self.done = done
    }

    /// The sequence keeps itself alive until it is done.
    func next() {
        guard let hook = left.popFirst() else { return done(nil) }
        do {
            let process = try HookProcess(hook, state: state)
            current = process
            try loop.watch(process.launch.pidfd.raw, .readable) { [self] _ in finish(process.failure()) }
            if let seconds = hook.timeout {
                timer = loop.after(milliseconds: Int64(min(seconds, 1 << 40)) * 1000) { [self] in
                    finish(process.timedOut())
                }
            }
        } catch {
            current?.launch.destroy()
            finish(SkalaError(.system, "hook \(hook.path): \(error)"))
        }
    }

    private func finish(_ error: SkalaError?) {
        if let current { loop.forget(current.launch.pidfd.raw) }
        if let timer { loop.cancel(timer) }
        current = nil
        timer = nil
        if let error { done(error) } else { next() }
    }
}
