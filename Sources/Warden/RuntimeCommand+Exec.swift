import Base
import CLinux
import Glibc
import Kernel
import OCI

extension RuntimeCommand {
    func exec(_ local: RuntimeArguments) throws -> Int32 {
        let state = try load(local)
        let spec = try RuntimeSpec(state.spec)
        let process = try RuntimeProcess(try processJSON(local, state))
        let status = try state.status()
        guard status == "running" || status == "created" || status == "paused" && local.has("ignore-paused") else {
            throw SkalaError(.conflict, "container \(state.id) is \(status)")
        }
        if process.terminal, local["console-socket"] == nil, local.has("detach") {
            throw SkalaError(.invalid, "a terminal: use --console-socket when nobody stays to serve it")
        }
        let group = try state.cgroup()
        let subgroup = try subgroup(local)
        let target = OwnedDescriptor(try check(cl_pidfd_open(state.pid, 0), "pidfd_open", "container \(state.id)"))
        // The id is the container's only if it still is after the descriptor was made.
        guard state.isAlive else { throw SkalaError(.conflict, "container \(state.id) is not running") }
        var (wiring, socket, childSocket) = try RuntimeCommand.streams(process, local)
        let gate = try ContainerPlanner.needsGate(spec) ? Pipe() : nil
        wiring.gate = gate?.reading.raw
        let plan = ExecPlanner(
            process: process, spec: spec, cgroup: group, target: target.raw,
            seccomp: try SeccompCompiler(cache: SeccompCache(folder: root + "/.seccomp")).filter(
                for: spec.seccomp, capabilities: ProcessPlanner.capabilityMask(process)),
            wiring: wiring, subgroup: subgroup
        ).plan()
        let launch = try Launch(
            plan: plan, flags: 0, cgroup: group.version2Path.map { $0 + subgroup }, gate: gate?.writing,
            pidNamespace: spec.namespace(.pid) == nil ? nil : try .open("/proc/\(state.pid)/ns/pid", O_RDONLY))
        childSocket?.close()
        var terminal: RuntimeTerminal?
        do {
            if let socket { terminal = try RuntimeTerminal.receive(socket, forwardTo: local["console-socket"]) }
            try supervise(launch, spec, state)
            if let path = local["pid-file"] { try RuntimeState.write(String(launch.pid), to: path) }
        } catch {
            launch.destroy()
            throw error
        }
        return local.has("detach") ? 0 : try RuntimeCommand.wait(launch, terminal: terminal)
    }

    private func supervise(_ launch: Launch, _ spec: RuntimeSpec, _ state: RuntimeState) throws {
        while true {
            switch launch.read() {
            case .listener(let descriptor):
                try SeccompListener(spec.seccomp)?.send(
                    descriptor, of: launch, state: state.hookState("running", pid: state.pid))
                try launch.release()
            case .failed(let error): throw error
            case .ready, .hooks, .executed: return
            }
        }
    }

    /// A group below the container's: `PATH`, or `CONTROLLER:PATH` as runc writes it.
    private func subgroup(_ local: RuntimeArguments) throws -> String {
        guard let text = local["cgroup"] else { return "" }
        let parts = text.split(separator: ":").last.map { $0.split(separator: "/") } ?? []
        guard !parts.contains("..") else { throw SkalaError(.invalid, "invalid --cgroup '\(text)'") }
        return parts.isEmpty ? "" : "/" + parts.joined(separator: "/")
    }

    /// The process of `--process FILE`, or the container's own with other arguments.
    private func processJSON(_ local: RuntimeArguments, _ state: RuntimeState) throws -> JSON {
        for option in ["apparmor", "process-label"] where local[option]?.isEmpty == false {
            throw SkalaError(.unsupported, "--\(option): AppArmor and SELinux are not supported")
        }
        if let path = local["process"] {
            var process = try JSON(parsing: try SmallFile.read(path))
            if local.has("tty") { process["terminal"] = true }
            return process
        }
        var process = state.spec["process"]
        process["args"] = JSON(Array(local.rest.dropFirst()))
        process["terminal"] = JSON(local.has("tty"))
        if let directory = local["cwd"] { process["cwd"] = JSON(directory) }
        if let user = local["user"] {
            let ids = user.split(separator: ":").map { Int64($0) }
            guard let uid = ids.first ?? nil, ids.count <= 2, let gid = ids.count > 1 ? ids[1] : 0 else {
                throw SkalaError(.invalid, "not uid[:gid]: '\(user)'")
            }
            process["user"] = ["uid": JSON(uid), "gid": JSON(gid)]
        }
        let groups = try local.all("additional-gids").flatMap { $0.split(separator: ",") }.map { text in
            guard let group = UInt32(text) else { throw SkalaError(.invalid, "not a group id: '\(text)'") }
            return JSON(group)
        }
        if !groups.isEmpty {
            process["user"]["additionalGids"] = .array((process["user"]["additionalGids"].array ?? []) + groups)
        }
        process["env"] = JSON(RuntimeCommand.merged(process["env"].strings ?? [], local.all("env")))
        if local.has("no-new-privs") { process["noNewPrivileges"] = true }
        let added = local.all("cap")
        for set in ["bounding", "effective", "permitted"] where !added.isEmpty {
            process["capabilities"][set] = JSON((process["capabilities"][set].strings ?? []) + added)
        }
        return process
    }

    /// Later variables replace earlier ones of the same name.
    private static func merged(_ environment: [String], _ added: [String]) -> [String] {
        let names = Set(added.map { $0.prefix { $0 != "=" } })
        return environment.filter { !names.contains($0.prefix { $0 != "=" }) } + added
    }
}
