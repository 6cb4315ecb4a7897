import Base
import CLinux
import Glibc
import Kernel
import OCI
import WardenProtocol

extension Warden {
    func create(_ request: JSON, _ reply: Reply, _ send: @escaping (Frame) -> Void) throws {
        guard let id = request["id"].string, id.count == Identifier.length, id.allSatisfy(\.isHexDigit) else {
            throw SkalaError(.invalid, "not a container id: '\(request["id"].string ?? "")'")
        }
        guard containers[id] == nil else { throw SkalaError(.conflict, "container \(id) exists") }
        guard containers.count < Warden.maximumContainers else { throw SkalaError(.exhausted, "too many containers") }
        let spec = try RuntimeSpec(request["spec"])
        guard let process = spec.process else { throw SkalaError(.invalid, "the spec has no process") }
        let cgroup = try controlGroup(spec.cgroupsPath ?? cgroupRoot + "/" + id)
        let starts = request["start"].bool ?? false
        let gate = try starts && !ContainerPlanner.needsGate(spec) ? nil : Pipe()
        var ends = try StreamEnds(request["io"], terminal: process.terminal)
        ends.wiring.gate = gate?.reading.raw
        ends.wiring.waitsForStart = !starts
        let inherited = try descriptors.open(request["descriptors"])
        ends.wiring.inherited = inherited.map(\.raw)
        let planner = ContainerPlanner(
            spec: spec, bundle: nil,
            rootFileSystem: request["rootfs"].isNull ? nil : try RootFileSystem(request["rootfs"]), layout: layout,
            cgroup: cgroup,
            seccomp: try seccomp.filter(for: spec.seccomp, capabilities: ProcessPlanner.capabilityMask(process)),
            wiring: ends.wiring, sources: try MountSources(spec, bundle: nil, scratch: scratch),
            state: Container.state(id, spec, "creating", pid: nil))
        try planner.validate()
        let attachments = try (request["attach"].array ?? []).map { try makeAttachment($0, send) }
        let log = request["io"]["log"].isNull ? nil : try OutputLog(request["io"]["log"])
        try cgroup.create(spec.resources)
        do {
            // The plan names the group's files, so the group comes first.
            let launch = try clone(planner, gate: gate?.writing)
            for descriptor in inherited { descriptor.close() }
            let first = try adopt(launch, &ends, log: log, io: request["io"])
            let container = Container(id: id, spec: spec, cgroup: cgroup, first: first)
            containers[id] = container
            for attachment in attachments { connect(attachment, to: first, send) }
            first.onReport = { [unowned self, unowned container] in created(container, $0, starts: starts, reply) }
            try watch(first) { [unowned self, weak container] in
                if let container { ended(container) }
            }
        } catch {
            if let container = containers[id] { discard(container) } else { cgroup.remove() }
            throw error
        }
    }

    /// Clones the first process and gives a new user namespace its ids.
    private func clone(_ planner: ContainerPlanner, gate: OwnedDescriptor?) throws -> Launch {
        let pidNamespace = try planner.spec.namespace(.pid)?.path.map { path throws(KernelError) in
            try OwnedDescriptor.open(path, O_RDONLY)
        }
        let launch = try Launch(
            plan: try planner.plan(), flags: planner.flags, cgroup: planner.cgroup.version2Path, gate: gate,
            pidNamespace: pidNamespace, holding: planner.sources)
        guard let user = planner.spec.namespace(.user), user.path == nil else { return launch }
        do {
            let spec = planner.spec
            if let adjust = spec.process?.oomScoreAdjust {
                try SmallFile.write(String(adjust), to: "/proc/\(launch.pid)/oom_score_adj")
            }
            try UserNamespace.write(spec.uidMappings, spec.gidMappings, pid: launch.pid)
            try launch.release()
        } catch {
            launch.destroy()
            throw error
        }
        return launch
    }

    /// Takes the warden's ends of the streams.
    func adopt(_ launch: Launch, _ ends: inout StreamEnds, log: OutputLog?, io: JSON) throws -> ContainerProcess {
        ends.closeChildEnds()
        do {
            let streams = ProcessStreams(loop: loop, log: log, terminal: ends.wiring.terminalSocket != nil)
            if let input = ends.input { streams.setInput(input) }
            for (channel, file) in ends.outputs { try streams.addOutput(channel, file) }
            let process = ContainerProcess(
                launch: launch, streams: streams, closesInputWithClient: io["stdinOnce"].bool ?? false)
            if let socket = ends.terminal { try watchTerminal(socket, process) }
            return process
        } catch {
            launch.destroy()
            throw error
        }
    }

    /// Waits for the terminal's master, which comes before the program is executed.
    private func watchTerminal(_ socket: OwnedDescriptor, _ process: ContainerProcess) throws {
        try loop.watch(socket.raw, .readable) { [unowned self, unowned process] _ in
            let master = cl_receive_descriptor(socket.raw)
            loop.forget(socket.raw)
            guard master >= 0 else { return }
            let output = OwnedDescriptor(master)
            do {
                try Pipe.makeNonblocking(output)
                // Input and output are one descriptor with two owners.
                process.streams.setInput(OwnedDescriptor(try check(cl_fcntl(master, 1030, 3), "fcntl F_DUPFD_CLOEXEC")))
                try process.streams.addOutput(1, output)
            } catch {
                process.streams.close()
            }
        }
    }

    /// Watches the start and the end of a process.
    func watch(_ process: ContainerProcess, ended: @escaping () -> Void) throws {
        let deadline = loop.after(milliseconds: Warden.startDeadline) { [weak process] in
            guard let process, process.state == .starting else { return }
            // The report pipe then ends.
            try? process.launch.signal(SIGKILL)
        }
        let report = process.launch.report.raw
        try loop.watch(report, .readable) { [unowned self, weak process] _ in
            guard let process else { return }
            let message = process.launch.read()
            // Hooks have time limits of their own.
            loop.cancel(deadline)
            switch message {
            case .ready, .hooks, .listener: break
            case .executed, .failed: loop.forget(report)
            }
            process.onReport?(message)
        }
        try loop.watch(process.launch.pidfd.raw, .readable) { [unowned self, weak process] _ in
            guard let process else { return }
            // The report, when both are there, tells why.
            if case .starting = process.state {
                loop.forget(report)
                process.onReport?(process.launch.read())
            }
            guard process.state != .ended, let exit = process.launch.reap() else { return }
            loop.forget(process.launch.pidfd.raw)
            process.exit = exit
            process.state = .ended
            process.streams.finish()
            ended()
        }
    }

    private func created(_ container: Container, _ report: Launch.Report, starts: Bool, _ reply: Reply) {
        switch report {
        case .hooks: runHooks(container)
        case .listener(let descriptor): sendListener(descriptor, container)
        case .ready:
            container.first.state = .created
            container.first.onReport = nil
            reply.answer(["pid": JSON(container.first.launch.pid)])
        case .executed where container.startFailure != nil:
            created(
                container, .failed(container.startFailure ?? SkalaError(.system, "start")), starts: starts, reply)
        case .executed:
            container.first.state = .running
            container.first.onReport = nil
            container.startedAt = SystemClock.now()
            started(container, reply, ["pid": JSON(container.first.launch.pid)])
        case .failed(let error):
            container.first.onReport = nil
            discard(container)
            reply.fail(error)
        }
    }

    /// The host's hooks, while the process waits at its gate.
    private func runHooks(_ container: Container) {
        let state = Container.state(container.id, container.spec, "creating", pid: container.first.launch.pid)
        HookSequence(loop: loop, container.spec.hooks.createRuntime, state: state) { [weak container] error in
            guard let container, container.first.state == .starting else { return }
            container.startFailure = error
            do {
                if error == nil { try container.first.launch.release() }
            } catch {
                container.startFailure = SkalaError(.system, "\(error)")
            }
            // Its end is then reported as the failure of the start.
            if container.startFailure != nil { _ = cl_pidfd_send_signal(container.first.launch.pidfd.raw, SIGKILL) }
        }.next()
    }

    private func sendListener(_ descriptor: Int32, _ container: Container) {
        do {
            let launch = container.first.launch
            let state = Container.state(container.id, container.spec, "creating", pid: launch.pid)
            try SeccompListener(container.spec.seccomp)?.send(descriptor, of: launch, state: state)
            try launch.release()
        } catch {
            container.startFailure = SkalaError(.system, "seccomp listener: \(error)")
            _ = cl_pidfd_send_signal(container.first.launch.pidfd.raw, SIGKILL)
        }
    }

    /// Answers after the poststart hooks; one that fails ends the container.
    private func started(_ container: Container, _ reply: Reply, _ answer: JSON) {
        let hooks = container.spec.hooks.poststart
        guard !hooks.isEmpty else { return reply.answer(answer) }
        let state = Container.state(container.id, container.spec, "running", pid: container.first.launch.pid)
        HookSequence(loop: loop, hooks, state: state) { [weak container] error in
            guard let error else { return reply.answer(answer) }
            container?.cgroup.kill()
            reply.fail(error)
        }.next()
    }

    func start(_ request: JSON, _ reply: Reply) throws {
        let container = try container(request)
        guard container.first.state == .created, container.first.onReport == nil else {
            throw SkalaError(.conflict, "container \(container.id) is \(container.status)")
        }
        container.first.onReport = { [unowned self, unowned container] report in
            if case .listener(let descriptor) = report { return sendListener(descriptor, container) }
            container.first.onReport = nil
            guard case .failed(let error) = report else {
                if container.first.state == .created { container.first.state = .running }
                container.startedAt = SystemClock.now()
                return started(container, reply, [:])
            }
            reply.fail(error)
        }
        try container.first.launch.release()
    }

    private func ended(_ container: Container) {
        container.finishedAt = SystemClock.now()
        container.oomKilled = container.cgroup.oomKills > 0
        container.paused = false
        for log in container.logs.values { log.finish() }
        if container.oomKilled { emit(["event": "oom", "id": JSON(container.id)]) }
        emitExit(container, exec: nil, container.first)
    }

    func emitExit(_ container: Container, exec: String?, _ process: ContainerProcess) {
        guard let exit = process.exit else { return }
        var event: JSON = ["event": "exit", "id": JSON(container.id)]
        if let exec { event["exec"] = JSON(exec) }
        event["exitCode"] = JSON(exit.code)
        if exit.signal > 0 { event["signal"] = JSON(exit.signal) }
        event["oomKilled"] = JSON(container.oomKilled)
        event["time"] = JSON(SystemClock.now().nanoseconds)
        emit(event)
        for (stream, entry) in streams where entry.process === process { forgetStreamIfEnded(stream) }
    }
}
