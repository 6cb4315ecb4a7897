import Base
import CLinux
import Glibc
import Kernel
import OCI
import WardenProtocol

extension Warden {
    /// Carries out one request. Answers now or later; what it throws is the answer too.
    func perform(_ request: JSON, _ reply: Reply, send: @escaping (Frame) -> Void) throws {
        switch request["op"].string ?? "" {
        case "hello": reply.answer(try hello(request))
        case "create": try create(request, reply, send)
        case "start": try start(request, reply)
        case "signal": reply.answer(try signal(request))
        case "delete": reply.answer(try delete(request))
        case "state": reply.answer(try container(request).description)
        case "list": reply.answer(list())
        case "exec": try exec(request, reply, send)
        case "forget": reply.answer(try forget(request))
        case "resize": reply.answer(try resize(request))
        case "pause": reply.answer(try pause(request, true))
        case "resume": reply.answer(try pause(request, false))
        case "update": reply.answer(try update(request))
        case "stats": reply.answer(try container(request).cgroup.statistics())
        case "processes":
            reply.answer(["pids": .array(try container(request).cgroup.processes().map { JSON($0) })])
        case "attach": try attach(request, reply, send)
        case "detach": reply.answer(try detach(request))
        case "helper": try helper(request, reply, send)
        case "log": reply.answer(try relayLog(request))
        case "logged": try whenLogged(request, reply)
        case "hold": try hold(request, reply)
        case "release": reply.answer(try release(request))
        case "unseal": reply.answer(descriptors.forget(request))
        case "configure" where guest != nil: reply.answer(try guest?.configure(request) ?? [:])
        case "written" where guest != nil: reply.answer(["bytes": JSON(try guest?.writtenBytes() ?? 0)])
        case "identify" where guest != nil: reply.answer(try identify(request))
        case "dismiss" where guest != nil: reply.answer(try guest?.dismiss(request) ?? [:])
        case "freeze" where guest != nil: reply.answer(try guest?.freeze(request, true) ?? [:])
        case "thaw" where guest != nil: reply.answer(try guest?.freeze(request, false) ?? [:])
        case "halt" where guest != nil: reply.answer(try halt())
        case let name: throw SkalaError(.unsupported, "unknown operation '\(name)'")
        }
    }

    func container(_ request: JSON) throws(SkalaError) -> Container {
        let id = request["id"].string ?? ""
        guard let container = containers[id] else { throw SkalaError(.notFound, "no such container: \(id)") }
        return container
    }

    /// The first process, or the exec that the request names.
    func process(_ request: JSON) throws(SkalaError) -> ContainerProcess {
        let container = try container(request)
        guard let name = request["exec"].string else { return container.first }
        guard let process = container.execs[name] else { throw SkalaError(.notFound, "no such exec: \(name)") }
        return process
    }

    private func hello(_ request: JSON) throws -> JSON {
        // In a VM that continues from a snapshot an earlier engine's end may have gone unnoticed.
        endSession()
        // Made when it is read first: of a VM that is to be later, when its random numbers are its own.
        let boot = guest == nil ? try SmallFile.text("/proc/sys/kernel/random/boot_id").filter { $0 != "\n" } : ""
        return [
            "version": JSON(ProtocolVersion.current), "pid": JSON(getpid()), "boot": JSON(boot), "lost": JSON(lost),
        ]
    }

    /// The VM's containers end and its disks are let go; what follows is the host's killing the VM.
    private func halt() throws -> JSON {
        for container in containers.values { discard(container) }
        for process in Array(holders.values) + Array(helpers.values) { discard(process) }
        (holders, helpers) = ([:], [:])
        let written = try guest?.writtenBytes() ?? 0
        guest?.unmountAll()
        return ["written": JSON(written)]
    }

    /// How long what a VM has written may take to be here, in milliseconds: then an end is told without it.
    private static let logDeadline: Int64 = 5000
    private static let maximumLogs = 256

    /// Keeps what a container in a VM writes; QEMU gets the other end of the pipe.
    private func relayLog(_ request: JSON) throws -> JSON {
        let container = try container(request)
        let name = request["name"].string ?? ""
        // A pod's VM has ever new containers.
        container.logs = container.logs.filter { !$0.value.isOver }
        guard container.logs.count < Warden.maximumLogs || container.logs[name] != nil else {
            throw SkalaError(.exhausted, "too many logs")
        }
        container.logs[name]?.finish()
        container.logs[name] = try RelayedLog(
            loop: loop, fifo: request["fifo"].string ?? "", log: request["log"], name: name)
        return [:]
    }

    private func whenLogged(_ request: JSON, _ reply: Reply) throws {
        guard let log = try container(request).logs[request["name"].string ?? ""] else { return reply.answer([:]) }
        log.whenComplete(within: Warden.logDeadline) { reply.answer([:]) }
    }

    private func list() -> JSON {
        ["containers": .array(containers.values.sorted { $0.id < $1.id }.map(\.description))]
    }

    private func signal(_ request: JSON) throws -> JSON {
        guard let number = request["signal"].int, (1...64).contains(number) else {
            throw SkalaError(.invalid, "invalid signal \(request["signal"].text)")
        }
        let container = try container(request)
        if request["all"].bool == true {
            for pid in container.cgroup.processes() { kill(pid, Int32(number)) }
            return [:]
        }
        let process = try process(request)
        guard process.exit == nil else { throw SkalaError(.conflict, "container \(container.id) is not running") }
        try process.launch.signal(Int32(number))
        return [:]
    }

    private func delete(_ request: JSON) throws -> JSON {
        let container = try container(request)
        discard(container)
        for hook in container.spec.hooks.poststop {
            // Each of them, whatever becomes of the others.
            let state = Container.state(container.id, container.spec, "stopped", pid: 0)
            HookSequence(loop: loop, [hook], state: state) { error in
                if let error { StandardStreams.error("skala-warden: warning: poststop: \(error.message)\n") }
            }.next()
        }
        return [:]
    }

    /// Kills what runs, removes the groups, forgets the container.
    func discard(_ container: Container) {
        containers[container.id] = nil
        let processes = [container.first] + Array(container.execs.values)
        if processes.contains(where: { $0.exit == nil }) {
            if container.paused { container.cgroup.freeze(false) }
            container.cgroup.kill()
        }
        for process in processes { discard(process) }
        for log in container.logs.values { log.finish() }
        if !container.cgroup.remove() { retryRemoval(of: container.cgroup, BackgroundRetry.pauses[...]) }
    }

    /// A group that cannot be removed yet is tried again, within a bound; what is left then is the next warden's.
    private func retryRemoval(of cgroup: ControlGroup, _ pauses: ArraySlice<Int64>) {
        guard let pause = pauses.first else { return }
        loop.after(milliseconds: pause) { [unowned self] in
            // One of the same name may be in use again.
            guard containers.values.allSatisfy({ $0.cgroup.path != cgroup.path }), !cgroup.removeOnce() else { return }
            retryRemoval(of: cgroup, pauses.dropFirst())
        }
    }

    func discard(_ process: ContainerProcess) {
        loop.forget(process.launch.report.raw)
        loop.forget(process.launch.pidfd.raw)
        process.onReport?(.failed(SkalaError(.cancelled, "the container was deleted")))
        process.onReport = nil
        if process.exit == nil { process.launch.destroy() }
        process.state = .ended
        process.streams.finish()
        process.streams.close()
        // A client that is slower than the engine still gets what it has not taken yet.
        for (stream, entry) in streams where entry.process === process { forgetStreamIfEnded(stream) }
    }

    private func forget(_ request: JSON) throws -> JSON {
        let container = try container(request)
        let process = try process(request)
        guard let name = request["exec"].string, process.exit != nil else {
            throw SkalaError(.conflict, "the exec is running")
        }
        container.execs[name] = nil
        discard(process)
        return [:]
    }

    private func resize(_ request: JSON) throws -> JSON {
        guard let rows = request["rows"].int.flatMap(UInt16.init(exactly:)),
            let columns = request["columns"].int.flatMap(UInt16.init(exactly:))
        else { throw SkalaError(.invalid, "invalid terminal size") }
        guard let master = try process(request).streams.terminalMaster else {
            throw SkalaError(.conflict, "the process has no terminal")
        }
        var size = winsize(ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0)
        try check(cl_ioctl(master, UInt(TIOCSWINSZ), &size), "ioctl TIOCSWINSZ")
        return [:]
    }

    private func pause(_ request: JSON, _ paused: Bool) throws -> JSON {
        let container = try container(request)
        guard container.first.state == .running, container.paused != paused else {
            throw SkalaError(.conflict, "container \(container.id) is \(container.status)")
        }
        guard container.cgroup.freeze(paused) else { throw SkalaError(.unsupported, "this host cannot freeze groups") }
        // Stopping a task takes until it leaves the kernel; a second is plenty, and the freeze goes on in any case.
        if paused { for _ in 0..<1000 where !container.cgroup.isFrozen { usleep(1000) } }
        container.paused = paused
        emit(["event": paused ? "paused" : "resumed", "id": JSON(container.id)])
        return [:]
    }

    private func update(_ request: JSON) throws -> JSON {
        try container(request).cgroup.apply(try RuntimeResources(request["resources"]))
        return [:]
    }

    private func attach(_ request: JSON, _ reply: Reply, _ send: @escaping (Frame) -> Void) throws {
        let process = try process(request)
        let attachment = try makeAttachment(request, send)
        reply.answer([:])
        connect(attachment, to: process, send)
    }

    /// - Throws: `.invalid` for a stream number that is in use.
    func makeAttachment(_ request: JSON, _ send: @escaping (Frame) -> Void) throws(SkalaError) -> Attachment {
        guard let stream = request["stream"].int.flatMap(UInt32.init(exactly:)), streams[stream] == nil else {
            throw SkalaError(.invalid, "invalid stream \(request["stream"].text)")
        }
        guard streams.count < Warden.maximumStreams else { throw SkalaError(.exhausted, "too many attached streams") }
        return Attachment(
            stream: stream, input: request["stdin"].bool ?? false, output: request["stdout"].bool ?? false,
            errors: request["stderr"].bool ?? false, send: send)
    }

    /// From now on the process's streams are the client's too.
    func connect(_ attachment: Attachment, to process: ContainerProcess, _ send: @escaping (Frame) -> Void) {
        streams[attachment.stream] = (process, attachment)
        process.streams.grantInput = { send(.credit(stream: $0, count: UInt32($1))) }
        process.streams.attach(attachment)
        forgetStreamIfEnded(attachment.stream)
    }

    private func detach(_ request: JSON) throws -> JSON {
        guard let stream = request["stream"].int.flatMap(UInt32.init(exactly:)),
            let entry = streams.removeValue(forKey: stream)
        else { throw SkalaError(.notFound, "no such stream \(request["stream"].text)") }
        entry.process.streams.detach(stream, closesInput: entry.process.closesInputWithClient)
        endHelper(entry.process)
        return [:]
    }

    func forgetStreamIfEnded(_ stream: UInt32) {
        guard let entry = streams[stream], entry.attachment.ended else { return }
        entry.process.streams.detach(stream, closesInput: false)
        streams[stream] = nil
    }
}
