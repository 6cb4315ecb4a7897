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
        guard status == "running" || status == "created" else {
            throw SkalaError(.conflict, "container \(state.id) is \(status)")
        }
        let group = try state.cgroup()
        let target = OwnedDescriptor(try check(cl_pidfd_open(state.pid, 0), "pidfd_open", "container \(state.id)"))
        // The id is the container's only if it still is after the descriptor was made.
        guard state.isAlive else { throw SkalaError(.conflict, "container \(state.id) is not running") }
        let (wiring, socket, childSocket) = try RuntimeCommand.streams(process, local)
        let plan = ExecPlanner(
            process: process, spec: spec, cgroup: group, target: target.raw,
            seccomp: try SeccompCompiler().filter(
                for: spec.seccomp, capabilities: ProcessPlanner.capabilityMask(process)),
            wiring: wiring
        ).plan()
        let launch = try Launch(
            plan: plan, flags: 0, cgroup: group.version2Path, gate: nil,
            pidNamespace: spec.namespace(.pid) == nil ? nil : try .open("/proc/\(state.pid)/ns/pid", O_RDONLY))
        childSocket?.close()
        do {
            if let socket { try forwardTerminal(socket, to: local["console-socket"] ?? "", launch) }
            if case .failed(let error) = launch.read() { throw error }
            if let path = local["pid-file"] { try RuntimeState.write(String(launch.pid), to: path) }
        } catch {
            launch.destroy()
            throw error
        }
        return local.has("detach") ? 0 : try RuntimeCommand.wait(launch)
    }

    /// The process of `--process FILE`, or the container's own with other arguments.
    private func processJSON(_ local: RuntimeArguments, _ state: RuntimeState) throws -> JSON {
        if let path = local["process"] { return try JSON(parsing: try SmallFile.read(path)) }
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
        process["env"] = JSON((process["env"].strings ?? []) + local.all("env"))
        if local.has("no-new-privs") { process["noNewPrivileges"] = true }
        return process
    }

    static let features: JSON = [
        "ociVersionMin": "1.0.0", "ociVersionMax": "1.2.0",
        "mountOptions": [
            "bind", "rbind", "ro", "rw", "nosuid", "suid", "nodev", "dev", "noexec", "exec", "noatime", "relatime",
            "strictatime", "nodiratime", "private", "rprivate", "slave", "rslave", "shared", "rshared", "rro",
        ],
        "linux": [
            "namespaces": ["cgroup", "ipc", "mount", "network", "pid", "user", "uts"],
            "capabilities": JSON(Capability.names),
            "cgroup": ["v1": true, "v2": true, "systemd": false, "systemdUser": false],
            "seccomp": [
                "enabled": true,
                "actions": [
                    "SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO", "SCMP_ACT_KILL", "SCMP_ACT_KILL_PROCESS",
                    "SCMP_ACT_KILL_THREAD",
                    "SCMP_ACT_LOG", "SCMP_ACT_TRACE", "SCMP_ACT_TRAP",
                ],
            ],
            "apparmor": ["enabled": false], "selinux": ["enabled": false],
        ],
    ]

    static func writeExample(_ bundle: String) throws {
        let path = bundle + "/config.json"
        guard access(path, F_OK) != 0 else { throw SkalaError(.conflict, "\(path) exists") }
        func mount(_ type: String, _ path: String, _ options: JSON) -> JSON {
            ["destination": JSON(path), "type": JSON(type), "source": JSON(type), "options": options]
        }
        let capabilities: JSON = ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"]
        let spec: JSON = [
            "ociVersion": "1.2.0",
            "process": [
                "terminal": false, "user": ["uid": 0, "gid": 0], "args": ["sh"],
                "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"], "cwd": "/",
                "capabilities": ["bounding": capabilities, "effective": capabilities, "permitted": capabilities],
                "noNewPrivileges": true,
            ],
            "root": ["path": "rootfs", "readonly": true], "hostname": "skala",
            "mounts": [
                mount("proc", "/proc", []),
                mount("tmpfs", "/dev", ["nosuid", "strictatime", "mode=755", "size=65536k"]),
                mount(
                    "devpts", "/dev/pts", ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]),
                mount("tmpfs", "/dev/shm", ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]),
                mount("mqueue", "/dev/mqueue", ["nosuid", "noexec", "nodev"]),
                mount("sysfs", "/sys", ["nosuid", "noexec", "nodev", "ro"]),
                mount("cgroup", "/sys/fs/cgroup", ["nosuid", "noexec", "nodev", "relatime", "ro"]),
            ],
            "linux": [
                "namespaces": .array(
                    ["pid", "network", "ipc", "uts", "mount", "cgroup"].map { ["type": JSON($0)] }),
                "maskedPaths": [
                    "/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list", "/proc/scsi",
                    "/sys/firmware",
                ], "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
            ],
        ]
        try RuntimeState.write(spec.pretty() + "\n", to: path)
    }
}
