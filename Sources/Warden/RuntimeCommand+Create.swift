import Base
import CLinux
import Glibc
import Kernel
import OCI

extension RuntimeCommand {
    func create(_ local: RuntimeArguments, starts: Bool) throws -> Int32 {
        let id = try local.first("the container id")
        let folder = try RuntimeState.folder(root: root, id: id)
        let bundle = try RuntimeCommand.absolute(local["bundle"] ?? ".")
        let config = local["config"] ?? bundle + "/config.json"
        let json = try JSON(parsing: try SmallFile.read(config))
        let spec = try RuntimeSpec(json)
        guard let process = spec.process else { throw SkalaError(.invalid, "the spec has no process") }
        guard spec.hooks.object?.members.allSatisfy({ $0.value.array?.isEmpty ?? true }) ?? true else {
            throw SkalaError(.unsupported, "hooks are not supported")
        }
        try SmallFile.makeDirectories(root, mode: 0o700)
        guard mkdir(folder, 0o711) == 0 else {
            throw errno == EEXIST
                ? SkalaError(.conflict, "container \(id) exists")
                : KernelError("mkdir", folder, errno: errno).asSkalaError
        }
        let layout = try CgroupLayout.detect()
        let group = try ControlGroup(path: RuntimeCommand.cgroupPath(spec.cgroupsPath, id), layout: layout)
        var state = RuntimeState(folder: folder, id: id, json: [:], spec: json)
        do {
            try group.create(spec.resources)
            let wiring = try wire(process, local, state, starts: starts && spec.namespace(.user) == nil)
            let planner = ContainerPlanner(
                spec: spec, bundle: bundle, rootFileSystem: nil, layout: layout, cgroup: group,
                seccomp: try SeccompCompiler().filter(
                    for: spec.seccomp, capabilities: ProcessPlanner.capabilityMask(process)),
                wiring: wiring.0)
            try planner.validate()
            let launch = try Launch(
                plan: try planner.plan(), flags: planner.flags, cgroup: group.version2Path, gate: wiring.gate,
                pidNamespace: try spec.namespace(.pid)?.path.map { path throws(KernelError) in
                    try OwnedDescriptor.open(path, O_RDONLY)
                })
            do {
                if spec.namespace(.user).map({ $0.path == nil }) == true {
                    for (file, mappings) in [("uid_map", spec.uidMappings), ("gid_map", spec.gidMappings)] {
                        try SmallFile.write(
                            mappings.map(\.line).joined(separator: "\n"), to: "/proc/\(launch.pid)/\(file)")
                    }
                    try launch.release()
                }
                wiring.childSocket?.close()
                if let socket = wiring.socket { try forwardTerminal(socket, to: local["console-socket"] ?? "", launch) }
                if case .failed(let error) = launch.read() { throw error }
                state.json = [
                    "pid": JSON(launch.pid), "startTime": JSON(RuntimeState.startTime(launch.pid)),
                    "bundle": JSON(bundle), "cgroup": JSON(group.path), "created": JSON(SystemClock.now().text),
                    "rootfs": JSON(spec.rootPath.hasPrefix("/") ? spec.rootPath : bundle + "/" + spec.rootPath),
                ]
                try state.save()
                if let path = local["pid-file"] { try RuntimeState.write(String(launch.pid), to: path) }
                if starts, wiring.gate != nil, access(state.gatePath, F_OK) == 0 {
                    try launch.release()
                    unlink(state.gatePath)
                }
            } catch {
                launch.destroy()
                throw error
            }
            guard starts, !local.has("detach") else { return 0 }
            let code = try RuntimeCommand.wait(launch)
            group.remove()
            if !local.has("keep") { state.remove() }
            return code
        } catch {
            group.remove()
            state.remove()
            throw error
        }
    }

    /// The standard streams of a process of the command line: the runtime's own, or a terminal.
    private func wire(
        _ process: RuntimeProcess, _ local: RuntimeArguments, _ state: RuntimeState, starts: Bool
    ) throws -> (
        ContainerPlanner.Wiring, gate: OwnedDescriptor?, socket: OwnedDescriptor?, childSocket: OwnedDescriptor?
    ) {
        var (wiring, socket, childSocket) = try RuntimeCommand.streams(process, local)
        guard !starts else { return (wiring, nil, socket, childSocket) }
        // Held open for reading and writing, the gate outlives `create`: the process sleeps until `start` writes to it.
        try checkErrno(mkfifo(state.gatePath, 0o600), "mkfifo", state.gatePath)
        let gate = try OwnedDescriptor.open(state.gatePath, O_RDWR)
        wiring.gate = gate.raw
        wiring.waitsForStart = true
        return (wiring, gate, socket, childSocket)
    }

    static func streams(
        _ process: RuntimeProcess, _ local: RuntimeArguments
    ) throws -> (ContainerPlanner.Wiring, OwnedDescriptor?, OwnedDescriptor?) {
        var wiring = ContainerPlanner.Wiring()
        wiring.diesWithParent = false
        wiring.keptDescriptors = local["preserve-fds"].flatMap { Int64($0) } ?? 0
        guard (0...1024).contains(wiring.keptDescriptors) else { throw SkalaError(.invalid, "invalid --preserve-fds") }
        guard process.terminal else {
            wiring.stdio = [0, 1, 2]
            return (wiring, nil, nil)
        }
        guard local["console-socket"] != nil else {
            throw SkalaError(.unsupported, "process.terminal needs --console-socket")
        }
        var ends: [Int32] = [-1, -1]
        let kind = Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue)
        try checkErrno(socketpair(AF_UNIX, kind, 0, &ends), "socketpair")
        wiring.terminalSocket = ends[1]
        wiring.rows = process.rows
        wiring.columns = process.columns
        return (wiring, OwnedDescriptor(ends[0]), OwnedDescriptor(ends[1]))
    }

    /// Hands the terminal's master to whoever listens at the console socket.
    func forwardTerminal(_ socket: OwnedDescriptor, to path: String, _ launch: Launch) throws {
        var poller = pollfd(fd: socket.raw, events: Int16(POLLIN), revents: 0)
        guard poll(&poller, 1, 60_000) == 1 else { throw SkalaError(.timedOut, "no terminal from the container") }
        let result = cl_receive_descriptor(socket.raw)
        // No terminal: the report says why.
        guard result >= 0 else { return }
        let master = OwnedDescriptor(result)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        guard path.utf8.count < MemoryLayout.size(ofValue: address.sun_path) else {
            throw SkalaError(.invalid, "socket path too long: '\(path)'")
        }
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
        let kind = Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue)
        let console = OwnedDescriptor(try checkErrno(Glibc.socket(AF_UNIX, kind, 0), "socket", path))
        let connected = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(console.raw, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        try checkErrno(connected, "connect", path)
        try check(cl_send_descriptor(console.raw, master.raw, "/dev/ptmx"), "sendmsg", path)
    }

    /// Waits for the process and passes signals on to it; its exit code.
    static func wait(_ launch: Launch) throws -> Int32 {
        var set = sigset_t()
        sigfillset(&set)
        for number in [SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGCHLD] { sigdelset(&set, number) }
        sigprocmask(SIG_BLOCK, &set, nil)
        let signals = OwnedDescriptor(try checkErrno(signalfd(-1, &set, Int32(O_CLOEXEC | O_NONBLOCK)), "signalfd"))
        while true {
            var pollers = [
                pollfd(fd: launch.pidfd.raw, events: Int16(POLLIN), revents: 0),
                pollfd(fd: signals.raw, events: Int16(POLLIN), revents: 0),
            ]
            _ = poll(&pollers, 2, -1)
            var info = signalfd_siginfo()
            while read(signals.raw, &info, MemoryLayout<signalfd_siginfo>.size) > 0 {
                // It may have ended in this moment.
                try? launch.signal(Int32(info.ssi_signo))
            }
            if let exit = launch.reap() { return exit.code }
        }
    }

    static func absolute(_ path: String) throws(KernelError) -> String {
        guard let resolved = realpath(path, nil) else { throw KernelError("realpath", path, errno: errno) }
        defer { free(resolved) }
        return String(cString: resolved)
    }

    /// `slice:prefix:name`, systemd's form, becomes a path as well: there is no need to ask systemd.
    static func cgroupPath(_ path: String?, _ id: String) -> String {
        guard let path, !path.isEmpty else { return "/skala-runtime/" + id }
        let parts = path.split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count == 3 else { return path }
        return "/" + (parts[0].isEmpty ? "system.slice" : parts[0]) + "/\(parts[1])-\(parts[2]).scope"
    }
}
