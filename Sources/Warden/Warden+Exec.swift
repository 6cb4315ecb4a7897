import Base
import CLinux
import Glibc
import Kernel
import OCI
import WardenProtocol

extension Warden {
    static let maximumExecs = 1000

    func exec(_ request: JSON, _ reply: Reply, _ send: @escaping (Frame) -> Void) throws {
        let container = try container(request)
        guard let name = request["exec"].string, !name.isEmpty, container.execs[name] == nil else {
            throw SkalaError(.conflict, "exec '\(request["exec"].string ?? "")' exists, or has no name")
        }
        guard container.execs.count < Warden.maximumExecs else { throw SkalaError(.exhausted, "too many execs") }
        guard container.first.state == .running || container.first.state == .created, !container.paused else {
            throw SkalaError(.conflict, "container \(container.id) is \(container.status)")
        }
        let process = try RuntimeProcess(request["process"])
        let attachments = try (request["attach"].array ?? []).map { try makeAttachment($0, send) }
        var ends = try StreamEnds(request["io"], terminal: process.terminal)
        let gate = try ContainerPlanner.needsGate(container.spec) ? Pipe() : nil
        ends.wiring.gate = gate?.reading.raw
        let plan = ExecPlanner(
            process: process, spec: container.spec, cgroup: container.cgroup, target: container.first.launch.pidfd.raw,
            seccomp: try seccomp.filter(
                for: container.seccomp, capabilities: ProcessPlanner.capabilityMask(process)),
            wiring: ends.wiring
        ).plan()
        let joinsPid = container.spec.namespace(.pid) != nil
        let launch = try Launch(
            plan: plan, flags: 0, cgroup: container.cgroup.version2Path, gate: gate?.writing,
            pidNamespace: joinsPid
                ? try .open("/proc/\(container.first.launch.pid)/ns/pid", O_RDONLY) : nil)
        let started = try adopt(launch, &ends, log: nil, io: request["io"])
        container.execs[name] = started
        for attachment in attachments { connect(attachment, to: started, send) }
        started.onReport = { [unowned self, unowned container, unowned started] report in
            if case .listener(let descriptor) = report {
                return sendListener(descriptor, started.launch, container)
            }
            started.onReport = nil
            guard case .failed(let error) = report else {
                started.state = .running
                return reply.answer(["pid": JSON(started.launch.pid)])
            }
            container.execs[name] = nil
            retire(started)
            reply.fail(error)
        }
        try watch(started) { [unowned self, weak container, weak started] in
            if let container, let started { emitExit(container, exec: name, started) }
        }
    }

    private func sendListener(_ descriptor: Int32, _ launch: Launch, _ container: Container) {
        do {
            let state = Container.state(container.id, container.spec, "running", pid: container.first.launch.pid)
            try SeccompListener(container.spec.seccomp)?.send(descriptor, of: launch, state: state)
            try launch.release()
        } catch {
            // Its end is the failure of the start.
            _ = cl_pidfd_send_signal(launch.pidfd.raw, SIGKILL)
        }
    }

    /// Discards a process after the callback that found it failed has returned: it is still in use there.
    func retire(_ process: ContainerProcess) {
        process.state = .ended
        loop.after(milliseconds: 0) { [unowned self] in discard(process) }
    }

    /// A process that keeps a root file system mounted: a stopped container's layers, or the root of a running one without
    /// what the kernel shows in it.
    func hold(_ request: JSON, _ reply: Reply) throws {
        guard let id = request["id"].string, !id.isEmpty, holders[id] == nil else {
            throw SkalaError(.conflict, "container '\(request["id"].string ?? "")' is held")
        }
        guard holders.count < Warden.maximumContainers else { throw SkalaError(.exhausted, "too many held containers") }
        let running = request["container"].string.map { containers[$0] }
        if let running, running?.first.state != .running {
            throw SkalaError(.conflict, "container \(request["container"].string ?? "") is not running")
        }
        let root = running == nil ? try RootFileSystem(request["rootfs"]) : nil
        let spec = try RuntimeSpec(["linux": ["namespaces": [["type": "mount"]]], "mounts": request["mounts"]])
        let cgroup = try ControlGroup(path: cgroupRoot + "/hold", layout: layout)
        var planner = ContainerPlanner(
            spec: spec, bundle: nil, rootFileSystem: root, layout: layout, cgroup: cgroup, seccomp: nil,
            wiring: .init())
        planner.borrowed = try running.flatMap { $0 }.map { ($0.first.launch.pid, try holdPoint()) }
        let launch = try Launch(plan: try planner.plan(), flags: planner.flags, cgroup: nil, gate: nil)
        let holder = ContainerProcess(
            launch: launch, streams: ProcessStreams(loop: loop, log: nil, terminal: false), closesInputWithClient: false
        )
        holders[id] = holder
        holder.onReport = { [unowned self, unowned holder] report in
            holder.onReport = nil
            guard case .failed(let error) = report else {
                holder.state = .running
                return reply.answer(["pid": JSON(holder.launch.pid)])
            }
            holders[id] = nil
            retire(holder)
            reply.fail(error)
        }
        try watch(holder) { [unowned self] in holders[id] = nil }
    }

    /// Where a holder mounts the root it borrows: an empty folder, since what is below it cannot be bound any more.
    private func holdPoint() throws(KernelError) -> String {
        let path = scratch + "/hold"
        if mkdir(path, 0o700) != 0, errno != EEXIST { throw KernelError("mkdir", path, errno: errno) }
        return path
    }

    func release(_ request: JSON) throws -> JSON {
        guard let holder = holders.removeValue(forKey: request["id"].string ?? "") else {
            throw SkalaError(.notFound, "container '\(request["id"].string ?? "")' is not held")
        }
        discard(holder)
        return [:]
    }
}
