import Base
import Kernel

/// What a tool is to start.
struct ToolContainer {
    let name: String
    /// Its own, for configuration.
    let folder: String
    /// Its files, mounted.
    var root: String { folder + "/root" }
    let command: [String]
    let environment: [String]
    let workingDirectory: String
    let limits: Limits

    /// What an allocation is for the kernel.
    struct Limits: Hashable {
        /// Of 1024 by default.
        var shares: Int64?
        /// Microseconds of processor time in each tenth of a second.
        var quota: Int64?
        /// Processors it may use.
        var processors: String?
        /// Bytes.
        var memory: Int64?
        var reservation: Int64?
        static let period: Int64 = 100_000

        init(_ spec: InstanceSpec) {
            switch spec.allocation {
            case .dedicated: memory = spec.memory
            case .shared: (shares, memory) = (1024, spec.memory)
            case .hard: (quota, memory) = (Int64(spec.processors * Double(Limits.period)), spec.memory)
            case .soft: (shares, reservation) = (1024, spec.memory)
            }
            processors = spec.peerProcessors
        }
    }

    init(_ spec: InstanceSpec, _ image: ImageFiles, name: String, folder: String) throws(SkalaError) {
        self.name = name
        self.folder = folder
        command = try image.command(spec)
        environment = image.environment(spec)
        let directory = spec.usesImageCommand ? image.configuration["WorkingDir"].string ?? "" : ""
        workingDirectory = directory.isEmpty ? "/" : directory
        limits = Limits(spec)
    }

    /// Those that Docker gives by default.
    static let capabilities = [
        "AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "NET_RAW",
        "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT",
    ]
}

/// The command lines of a program that runs containers.
protocol ContainerTool {
    /// Where it keeps what it knows of the lab's containers, apart from the user's.
    var place: String { get }

    /// Starts one, and ends once it runs. Its configuration is written before.
    func start(_ container: ToolContainer) throws -> [String]
    func execute(_ name: String, _ command: [String], environment: [String]) -> [String]
    /// Says how one is.
    func state(_ name: String) -> [String]
    func isRunning(_ state: String) -> Bool
    /// Ends one and all of its processes.
    func end(_ name: String) -> [String]
}

/// runc, and crun, which has the same commands: the OCI runtime specification.
struct OCIRuntime: ContainerTool {
    let program: String
    let place: String

    func start(_ container: ToolContainer) throws -> [String] {
        let text = OCIRuntime.configuration(container).text
        try FileContents.replace("\(container.folder)/config.json", with: Array(text.utf8))
        return [program, "--root", place, "run", "--detach", "--bundle", container.folder, container.name]
    }

    func execute(_ name: String, _ command: [String], environment: [String]) -> [String] {
        [program, "--root", place, "exec"] + environment.flatMap { ["--env", $0] } + [name] + command
    }

    func state(_ name: String) -> [String] { [program, "--root", place, "state", name] }

    func isRunning(_ state: String) -> Bool {
        // What is no JSON says that there is none.
        (try? JSON(parsing: Array(state.utf8)))?["status"] == "running"
    }

    func end(_ name: String) -> [String] { [program, "--root", place, "delete", "--force", name] }

    private static func configuration(_ container: ToolContainer) -> JSON {
        let capabilities = JSON(ToolContainer.capabilities.map { "CAP_" + $0 })
        return [
            "ociVersion": "1.0.2", "hostname": JSON(container.name), "root": ["path": JSON(container.root)],
            "process": [
                "args": JSON(container.command), "cwd": JSON(container.workingDirectory),
                "user": ["uid": 0, "gid": 0], "env": JSON(container.environment),
                "capabilities": ["bounding": capabilities, "effective": capabilities, "permitted": capabilities],
            ],
            "mounts": [
                mount("proc", "/proc", ["nosuid", "noexec", "nodev"]),
                mount("tmpfs", "/dev", ["nosuid", "strictatime", "mode=755", "size=65536k"]),
                mount("devpts", "/dev/pts", ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]),
                mount("tmpfs", "/dev/shm", ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]),
                mount("sysfs", "/sys", ["nosuid", "noexec", "nodev", "ro"]),
            ],
            "linux": [
                "namespaces": [["type": "pid"], ["type": "mount"], ["type": "ipc"], ["type": "uts"]],
                "resources": resources(container.limits),
                "maskedPaths": ["/proc/kcore", "/proc/keys", "/proc/timer_list", "/sys/firmware"],
                "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
            ],
        ]
    }

    private static func mount(_ type: String, _ place: String, _ options: [String]) -> JSON {
        ["type": JSON(type), "source": JSON(type), "destination": JSON(place), "options": JSON(options)]
    }

    private static func resources(_ limits: ToolContainer.Limits) -> JSON {
        var (cpu, memory): (JSON, JSON) = ([:], [:])
        if let shares = limits.shares { cpu["shares"] = JSON(shares) }
        if let quota = limits.quota {
            cpu["quota"] = JSON(quota)
            cpu["period"] = JSON(ToolContainer.Limits.period)
        }
        if let processors = limits.processors { cpu["cpus"] = JSON(processors) }
        if let limit = limits.memory { memory["limit"] = JSON(limit) }
        if let reservation = limits.reservation { memory["reservation"] = JSON(reservation) }
        return ["cpu": cpu, "memory": memory, "pids": ["limit": JSON(Peer.processLimit)]]
    }
}

/// LXC: commands of its own, and a configuration of lines.
struct LXC: ContainerTool {
    let place: String
    /// Whether limits are set in hierarchies of version 1.
    let isVersion1: Bool

    /// What its programs say, in the container's files: a container that is no child has no output otherwise.
    static let log = "/.lab.log"

    private func program(_ name: String) -> String { HostProgram.find(name) ?? name }

    func start(_ container: ToolContainer) throws -> [String] {
        let file = "\(container.folder)/config"
        try FileContents.replace(file, with: Array(try configuration(container).utf8))
        let command =
            ["/bin/sh", "-c", "exec >\(LXC.log) 2>&1\ncd \"$0\" && exec \"$@\"", container.workingDirectory]
            + container.command
        return [program("lxc-start"), "--name", container.name, "--lxcpath", place, "--rcfile", file, "--"] + command
    }

    func execute(_ name: String, _ command: [String], environment: [String]) -> [String] {
        [program("lxc-attach"), "--name", name, "--lxcpath", place, "--clear-env"]
            + ([ImageFiles.path] + environment).flatMap { ["--set-var", $0] } + ["--"] + command
    }

    func state(_ name: String) -> [String] {
        [program("lxc-info"), "--name", name, "--lxcpath", place, "--state", "--no-humanize"]
    }

    func isRunning(_ state: String) -> Bool { state.trimmed == "RUNNING" }

    func end(_ name: String) -> [String] { [program("lxc-stop"), "--name", name, "--lxcpath", place, "--kill"] }

    private func configuration(_ container: ToolContainer) throws(SkalaError) -> String {
        var lines = [
            "lxc.uts.name = \(container.name)", "lxc.rootfs.path = dir:\(container.root)", "lxc.net.0.type = none",
            "lxc.mount.auto = proc:mixed sys:ro", "lxc.autodev = 1",
            "lxc.mount.entry = tmpfs dev/shm tmpfs nosuid,nodev,noexec,mode=1777,size=65536k,create=dir 0 0",
            "lxc.console.path = none",
            "lxc.cap.keep = " + ToolContainer.capabilities.map { $0.lowercased() }.joined(separator: " "),
        ]
        // What its package makes all containers have.
        let filter = "/usr/share/lxc/config/common.seccomp"
        if HostRecord.text(filter) != "" { lines.append("lxc.seccomp.profile = \(filter)") }
        lines += limits(container.limits).map { "lxc.cgroup\(isVersion1 ? "" : "2").\($0) = \($1)" }
        lines += container.environment.map { "lxc.environment = \($0)" }
        guard let wrong = lines.first(where: { $0.contains("\n") }) else {
            return lines.joined(separator: "\n") + "\n"
        }
        throw SkalaError(.unsupported, "LXC takes no value of several lines: \(wrong)")
    }

    private func limits(_ limits: ToolContainer.Limits) -> [(String, String)] {
        let period = ToolContainer.Limits.period
        var lines: [(String, String?)] = [
            ("cpuset.cpus", limits.processors), ("pids.max", "\(Peer.processLimit)"),
        ]
        if isVersion1 {
            lines += [
                ("cpu.shares", limits.shares.map { "\($0)" }),
                ("cpu.cfs_period_us", limits.quota.map { _ in "\(period)" }),
                ("cpu.cfs_quota_us", limits.quota.map { "\($0)" }),
                ("memory.limit_in_bytes", limits.memory.map { "\($0)" }),
                ("memory.soft_limit_in_bytes", limits.reservation.map { "\($0)" }),
            ]
        } else {
            lines += [
                // 1024 shares are the usual share, which is 100 there.
                ("cpu.weight", limits.shares.map { "\(max(1, $0 * 100 / 1024))" }),
                ("cpu.max", limits.quota.map { "\($0) \(period)" }), ("memory.max", limits.memory.map { "\($0)" }),
                ("memory.low", limits.reservation.map { "\($0)" }),
            ]
        }
        return lines.compactMap { name, value in value.map { (name, $0) } }
    }
}
