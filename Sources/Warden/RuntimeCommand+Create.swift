import Base
import CLinux
import Glibc
import Kernel
import OCI

extension RuntimeCommand {
    /// `create`, and `run` when it `starts`.
    func create(_ local: RuntimeArguments, starts: Bool) throws -> Int32 {
        let id = try local.first("the container id")
        let folder = try RuntimeState.folder(root: root, id: id)
        let bundle = try RuntimeCommand.absolute(local["bundle"] ?? ".")
        let config = local["config"].map { $0.hasPrefix("/") ? $0 : bundle + "/" + $0 } ?? bundle + "/config.json"
        var json = try JSON(parsing: try SmallFile.read(config))
        let notify = NotifySocket(folder: folder)
        if let notify { notify.add(to: &json) }
        RuntimeCommand.passSockets(to: &json)
        let isAttached = starts && !local.has("detach")
        try RuntimeCommand.checkTerminal(json["process"]["terminal"].bool ?? false, local, isAttached: isAttached)
        let spec = try RuntimeSpec(json)
        guard let process = spec.process else { throw SkalaError(.invalid, "the spec has no process") }
        try FileContents.makeDirectories(root, mode: 0o700)
        guard mkdir(folder, 0o711) == 0 else {
            throw errno == EEXIST
                ? SkalaError(.conflict, "container \(id) exists")
                : KernelError("mkdir", folder, errno: errno).asSkalaError
        }
        var state = RuntimeState(folder: folder, id: id, json: [:], spec: json)
        state.json = try initialState(spec, id, bundle, json)
        let group = try state.cgroup(isNew: true)
        do {
            try notify?.prepare()
            try group.create(spec.resources)
            let (launch, terminal) = try start(spec, process, state, group, local, bundle: bundle, starts: starts)
            do {
                if starts { try notify?.listen() }
                try supervise(launch, spec, &state)
                if let path = local["pid-file"] { try RuntimeState.write(String(launch.pid), to: path) }
                guard starts else { return 0 }
                try state.runPoststart(spec)
                if !isAttached {
                    try notify?.waitForReady(launch.pidfd)
                    return 0
                }
            } catch {
                launch.destroy()
                throw error
            }
            let code = try RuntimeCommand.wait(launch, terminal: terminal, notify: notify)
            group.remove()
            if !local.has("keep") {
                state.remove()
                state.runPoststop(spec)
            }
            return code
        } catch {
            group.remove()
            state.remove()
            throw error
        }
    }

    private static func checkTerminal(
        _ terminal: Bool, _ local: RuntimeArguments, isAttached: Bool
    ) throws(SkalaError) {
        if terminal, local["console-socket"] == nil, !isAttached {
            throw SkalaError(.invalid, "process.terminal: use --console-socket when nobody stays to serve it")
        }
        if !terminal, local["console-socket"] != nil {
            throw SkalaError(.invalid, "--console-socket needs process.terminal")
        }
    }

    private func initialState(_ spec: RuntimeSpec, _ id: String, _ bundle: String, _ json: JSON) throws -> JSON {
        var manager = global["cgroup-manager"] ?? (global.has("systemd-cgroup") ? "systemd" : "cgroupfs")
        guard ["cgroupfs", "systemd", "disabled"].contains(manager) else {
            throw SkalaError(.invalid, "unknown --cgroup-manager '\(manager)'")
        }
        if RuntimeCommand.isRootless, !RuntimeCommand.mayMakeGroups() { manager = "disabled" }
        if manager == "disabled" {
            let limits = (json["linux"]["resources"].object?.members ?? []).filter { $0.key != "devices" }
            guard limits.allSatisfy({ $0.value.object?.isEmpty ?? true }) else {
                throw SkalaError(.unsupported, "linux.resources without control groups: \(limits[0].key)")
            }
        }
        let descriptors = (0..<3).map { (descriptor: Int) -> JSON in
            var name = [UInt8](repeating: 0, count: 4096)
            let length = name.withUnsafeMutableBytes { bytes in
                bytes.baseAddress.map { readlink("/proc/self/fd/\(descriptor)", $0, bytes.count) } ?? -1
            }
            return JSON(String(decoding: name[..<max(0, length)], as: UTF8.self))
        }
        return [
            "bundle": JSON(bundle), "cgroup": JSON(RuntimeCommand.cgroupPath(spec.cgroupsPath, id)),
            "cgroupManager": JSON(manager), "created": JSON(SystemClock.now().text),
            "rootfs": JSON(spec.rootPath.hasPrefix("/") ? spec.rootPath : bundle + "/" + spec.rootPath),
            "external_descriptors": JSON(JSON(descriptors).text), "owner": JSON(RuntimeCommand.userName()),
        ]
    }

    /// We are not the host's root: another user, or root of a user namespace only.
    static var isRootless: Bool {
        guard getuid() == 0 else { return true }
        // No such file: a kernel without user namespaces.
        let map = (try? SmallFile.text("/proc/self/uid_map")) ?? ""
        return !map.isEmpty && !map.split(whereSeparator: { $0 == " " || $0 == "\n" }).contains("4294967295")
    }

    /// Somebody gave us groups of our own.
    private static func mayMakeGroups() -> Bool {
        guard let layout = try? CgroupLayout.detect() else { return false }
        let roots = layout.limitsOnVersion1 ? Array(layout.version1.values) : [layout.version2].compactMap { $0 }
        return !roots.isEmpty && roots.allSatisfy { access($0, W_OK) == 0 }
    }

    /// Clones the first process and gives it what only we can: id maps, its terminal.
    private func start(
        _ spec: RuntimeSpec, _ process: RuntimeProcess, _ state: RuntimeState, _ group: ControlGroup,
        _ local: RuntimeArguments, bundle: String, starts: Bool
    ) throws -> (Launch, RuntimeTerminal?) {
        let isRoot = getuid() == 0
        var (wiring, socket, childSocket) = try RuntimeCommand.streams(process, local)
        var gate: OwnedDescriptor?
        // Held open for reading and writing, the gate outlives `create`: the process sleeps until `start` writes to it.
        if !starts || ContainerPlanner.needsGate(spec) {
            try checkErrno(mkfifo(state.gatePath, 0o600), "mkfifo", state.gatePath)
            let file = try OwnedDescriptor.open(state.gatePath, O_RDWR)
            if starts { unlink(state.gatePath) }
            wiring.gate = file.raw
            wiring.waitsForStart = !starts
            gate = file
        }
        let planner = ContainerPlanner(
            spec: spec, bundle: bundle, rootFileSystem: nil, layout: group.layout, cgroup: group,
            seccomp: try SeccompCompiler(cache: SeccompCache(folder: root + "/.seccomp")).filter(
                for: spec.seccomp, capabilities: ProcessPlanner.capabilityMask(process)),
            wiring: wiring, sources: isRoot ? try MountSources(spec, bundle: bundle, scratch: state.folder) : .init(),
            state: state.hookState("creating", pid: nil))
        try planner.validate()
        let launch = try Launch(
            plan: try planner.plan(), flags: planner.flags, cgroup: group.version2Path, gate: gate,
            pidNamespace: try spec.namespace(.pid)?.path.map { path throws(KernelError) in
                try OwnedDescriptor.open(path, O_RDONLY)
            }, holding: planner.sources)
        do {
            if let users = spec.namespace(.user) {
                if let adjust = process.oomScoreAdjust, isRoot {
                    try SmallFile.write(String(adjust), to: "/proc/\(launch.pid)/oom_score_adj")
                }
                if users.path == nil {
                    try UserNamespace.write(spec.uidMappings, spec.gidMappings, pid: launch.pid)
                    try launch.release()
                }
            }
            childSocket?.close()
            let terminal = try socket.flatMap { try RuntimeTerminal.receive($0, forwardTo: local["console-socket"]) }
            return (launch, terminal)
        } catch {
            launch.destroy()
            throw error
        }
    }

    /// Does what the process waits for, until it is created or runs; records it.
    private func supervise(_ launch: Launch, _ spec: RuntimeSpec, _ state: inout RuntimeState) throws {
        state.json["pid"] = JSON(launch.pid)
        state.json["startTime"] = JSON(RuntimeState.startTime(launch.pid))
        while true {
            switch launch.read() {
            case .hooks:
                try HookProcess.run(spec.hooks.createRuntime, state: state.hookState("creating", pid: launch.pid))
                try launch.release()
            case .listener(let descriptor):
                try SeccompListener(spec.seccomp)?.send(
                    descriptor, of: launch, state: state.hookState("creating", pid: launch.pid))
                try launch.release()
            case .ready, .executed: return try state.save()
            case .failed(let error): throw error
            }
        }
    }

    static func streams(
        _ process: RuntimeProcess, _ local: RuntimeArguments
    ) throws -> (ContainerPlanner.Wiring, OwnedDescriptor?, OwnedDescriptor?) {
        var wiring = ContainerPlanner.Wiring()
        wiring.diesWithParent = false
        let sockets = getenv("LISTEN_FDS").flatMap { Int64(String(cString: $0)) } ?? 0
        wiring.keptDescriptors = (local["preserve-fds"].flatMap { Int64($0) } ?? 0) + sockets
        guard (0...1024).contains(wiring.keptDescriptors) else { throw SkalaError(.invalid, "invalid --preserve-fds") }
        guard process.terminal else {
            wiring.stdio = [0, 1, 2]
            return (wiring, nil, nil)
        }
        var ends: [Int32] = [-1, -1]
        let kind = Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue)
        try checkErrno(socketpair(AF_UNIX, kind, 0, &ends), "socketpair")
        wiring.terminalSocket = ends[1]
        wiring.rows = process.rows
        wiring.columns = process.columns
        return (wiring, OwnedDescriptor(ends[0]), OwnedDescriptor(ends[1]))
    }

    /// Sockets a service manager passed to us are the container's: its program is process 1 (sd_listen_fds(3)).
    private static func passSockets(to json: inout JSON) {
        guard let count = getenv("LISTEN_FDS").map({ String(cString: $0) }) else { return }
        var environment = json["process"]["env"].strings ?? []
        environment += ["LISTEN_FDS=" + count, "LISTEN_PID=1"]
        if let names = getenv("LISTEN_FDNAMES").map({ String(cString: $0) }) {
            environment.append("LISTEN_FDNAMES=" + names)
        }
        json["process"]["env"] = JSON(environment)
    }

    /// Waits for the process and passes signals on to it; its exit code.
    static func wait(_ launch: Launch, terminal: RuntimeTerminal? = nil, notify: NotifySocket? = nil) throws -> Int32 {
        var set = sigset_t()
        sigfillset(&set)
        for number in [SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGCHLD] { sigdelset(&set, number) }
        sigprocmask(SIG_BLOCK, &set, nil)
        let signals = OwnedDescriptor(try checkErrno(signalfd(-1, &set, Int32(O_CLOEXEC | O_NONBLOCK)), "signalfd"))
        try terminal?.begin()
        defer { terminal?.end() }
        while true {
            var pollers = [launch.pidfd.raw, signals.raw].map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
            if let descriptor = notify?.descriptor {
                pollers.append(pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0))
            }
            let first = pollers.count
            if let terminal { pollers += terminal.pollers }
            _ = poll(&pollers, nfds_t(pollers.count), -1)
            terminal?.serve(Array(pollers[first...]))
            var info = signalfd_siginfo()
            while read(signals.raw, &info, MemoryLayout<signalfd_siginfo>.size) > 0 {
                if info.ssi_signo == UInt32(SIGWINCH), let terminal {
                    terminal.resize()
                } else {
                    // It may have ended in this moment.
                    try? launch.signal(Int32(info.ssi_signo))
                }
            }
            if notify?.descriptor != nil { notify?.forward() }
            if let exit = launch.reap() {
                terminal?.drain()
                return exit.code
            }
        }
    }

    static func absolute(_ path: String) throws(KernelError) -> String {
        guard let resolved = realpath(path, nil) else { throw KernelError("realpath", path, errno: errno) }
        defer { free(resolved) }
        return String(cString: resolved)
    }

    /// The name of the user who runs us, out of /etc/passwd: a static program has no name service.
    static func userName() -> String {
        let own = String(getuid())
        // Without the file users have numbers only.
        for line in ((try? SmallFile.text("/etc/passwd")) ?? "").split(separator: "\n") {
            let fields = line.split(separator: ":", omittingEmptySubsequences: false)
            if fields.count > 2, fields[2] == own { return String(fields[0]) }
        }
        return own
    }

    /// `slice:prefix:name`, systemd's form, becomes a path as well: there is no need to ask systemd. Without one the group
    /// lies in the root: nothing of it is left when its container is deleted.
    static func cgroupPath(_ path: String?, _ id: String) -> String {
        guard let path, !path.isEmpty else { return "/skala-runtime-" + id }
        let parts = path.split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count == 3 else { return path }
        // `a-b.slice` lies in `a.slice` (systemd.slice(5)).
        let slice = parts[0].isEmpty ? "system.slice" : parts[0]
        var folders = ""
        if slice != "-.slice", slice.hasSuffix(".slice") {
            var name = ""
            for part in slice.dropLast(6).split(separator: "-") {
                name += name.isEmpty ? part : "-" + part
                folders += "/" + name + ".slice"
            }
        }
        let prefix = parts[1].isEmpty ? "" : parts[1] + "-"
        return folders + "/" + prefix + parts[2] + (parts[2].hasSuffix(".slice") ? "" : ".scope")
    }
}
