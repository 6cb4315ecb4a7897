import Base
import OCI

/// Builds the OCI runtime specification of a container (config.json of the runtime specification 1.2).
///
/// Pure: everything that has to be looked up on the host is handed in.
struct ContainerSpec {
    /// The network namespace of a container.
    enum NetworkNamespace: Sendable, Hashable {
        case host
        /// One of its own with nothing but `lo`, made by the warden's clone: cheaper than one the engine makes, and
        /// gone with the container.
        case new
        /// An existing one: prepared by the engine, or another container's.
        case path(String)
        /// The one of the VM it runs in.
        case machine
    }

    let record: ContainerRecord
    let networkNamespace: NetworkNamespace
    /// Host paths of the files bound over /etc/resolv.conf, /etc/hostname and /etc/hosts.
    let etcFiles: [(source: String, destination: String)]
    /// Namespaces of other containers to join (`container:NAME`), by type.
    let joined: [String: String]
    let cgroupParent: String
    let defaultPidsLimit: Int64
    /// The OCI `user` of the process, resolved in the container's /etc/passwd and /etc/group.
    let user: JSON
    /// Device nodes (`linux.devices` elements) and what may be done with them (`r`, `w`, `m`).
    let devices: [(node: JSON, access: String)]
    let allocation: Allocation
    /// The cores it may use; nil for all.
    let cores: CPUSet?
    /// The init program put in front for `--init`, as a path on the host.
    let initProgram: String?

    private var host: JSON { record.hostConfig }
    private var config: JSON { record.config }
    private var isPrivileged: Bool { host["Privileged"].bool ?? false }

    var json: JSON {
        var spec: JSON = ["ociVersion": "1.2.0"]
        spec["process"] = process
        spec["root"] = ["path": "rootfs", "readonly": JSON(host["ReadonlyRootfs"].bool ?? false)]
        if host["UTSMode"].string != "host" { spec["hostname"] = JSON(hostname) }
        if let domain = config["Domainname"].string, !domain.isEmpty { spec["domainname"] = JSON(domain) }
        spec["mounts"] = JSON(mounts)
        spec["linux"] = linux
        spec["annotations"] = host["Annotations"]
        return spec
    }

    var hostname: String {
        if let name = config["Hostname"].string, !name.isEmpty { return name }
        return Identifier.short(record.id)
    }

    // MARK: process

    private var process: JSON {
        let isTerminal = config["Tty"].bool ?? false
        var arguments = record.commandLine
        if initProgram != nil { arguments = ["/sbin/docker-init", "--"] + arguments }
        var process: JSON = [
            "terminal": JSON(isTerminal), "user": user, "args": JSON(arguments),
            "env": JSON(environment(isTerminal: isTerminal)),
            "cwd": JSON(config["WorkingDir"].string.flatMap { $0.isEmpty ? nil : $0 } ?? "/"),
            "capabilities": ContainerCapabilities.spec(
                privileged: isPrivileged, add: host["CapAdd"].strings ?? [], drop: host["CapDrop"].strings ?? []),
            "noNewPrivileges": JSON(securityOption("no-new-privileges").map { $0 != "false" } ?? false),
            "oomScoreAdj": JSON(oomScoreAdjustment),
        ]
        let limits = (host["Ulimits"].array ?? []).map { limit -> JSON in
            [
                "type": JSON("RLIMIT_" + (limit["Name"].string ?? "").uppercased()), "hard": limit["Hard"],
                "soft": limit["Soft"],
            ]
        }
        if !limits.isEmpty { process["rlimits"] = JSON(limits) }
        return process
    }

    private var oomScoreAdjustment: Int64 {
        let given = host["OomScoreAdj"].int ?? 0
        return given == 0 ? allocation.oomScoreAdjustment : given
    }

    private func environment(isTerminal: Bool) -> [String] {
        var variables = config["Env"].strings ?? []
        func has(_ name: String) -> Bool { variables.contains { $0.hasPrefix(name + "=") } }
        if !has("PATH") {
            variables.insert("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", at: 0)
        }
        if !has("HOSTNAME") { variables.insert("HOSTNAME=" + hostname, at: 1) }
        if isTerminal, !has("TERM") { variables.append("TERM=xterm") }
        // A variable without "=" asks for removal.
        return variables.filter { $0.contains("=") }
    }

    /// The value of a `--security-opt`, "" when it is given without one.
    private func securityOption(_ name: String) -> String? {
        for option in host["SecurityOpt"].strings ?? [] {
            if option == name { return "" }
            if option.hasPrefix(name + "=") || option.hasPrefix(name + ":") {
                return String(option.dropFirst(name.count + 1))
            }
        }
        return nil
    }

    // MARK: mounts

    private var mounts: [JSON] {
        let shmBytes = host["ShmSize"].int ?? 67_108_864
        var mounts: [JSON] = [
            mount("/proc", "proc", "proc", ["nosuid", "noexec", "nodev"]),
            mount("/dev", "tmpfs", "tmpfs", ["nosuid", "strictatime", "mode=755", "size=65536k"]),
            mount(
                "/dev/pts", "devpts", "devpts",
                ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]),
            mount("/sys", "sysfs", "sysfs", ["nosuid", "noexec", "nodev", isPrivileged ? "rw" : "ro"]),
            mount("/sys/fs/cgroup", "cgroup", "cgroup", ["nosuid", "noexec", "nodev", isPrivileged ? "rw" : "ro"]),
            mount("/dev/mqueue", "mqueue", "mqueue", ["nosuid", "noexec", "nodev"]),
        ]
        if joined["ipc"] != nil || host["IpcMode"].string == "host" {
            mounts.append(mount("/dev/shm", "bind", "/dev/shm", ["rbind", "rprivate"]))
        } else {
            let options = ["nosuid", "noexec", "nodev", "mode=1777", "size=\(shmBytes)"]
            mounts.append(mount("/dev/shm", "tmpfs", "shm", options))
        }
        // Shorter destinations first: /a before /a/b, whatever order they were given in.
        let user = record.mounts.sorted { depth($0.destination) < depth($1.destination) }.map(mount(of:))
        let overridden = Set(record.mounts.map(\.destination))
        mounts.removeAll { overridden.contains($0["destination"].string ?? "") }
        for file in etcFiles where !overridden.contains(file.destination) {
            mounts.append(mount(file.destination, "bind", file.source, ["rbind", "rprivate"]))
        }
        if let initProgram {
            mounts.append(mount("/sbin/docker-init", "bind", initProgram, ["rbind", "ro", "rprivate"]))
        }
        return mounts + user
    }

    private func depth(_ path: String) -> Int { path.split(separator: "/").count }

    private func mount(_ destination: String, _ type: String, _ source: String, _ options: [String]) -> JSON {
        ["destination": JSON(destination), "type": JSON(type), "source": JSON(source), "options": JSON(options)]
    }

    private func mount(of mount: ContainerRecord.Mount) -> JSON {
        if mount.type == "tmpfs" {
            return self.mount(mount.destination, "tmpfs", "tmpfs", ["nosuid", "nodev", "noexec"] + mount.options)
        }
        // Read-only holds for what is mounted below, too, as with Docker since 25.
        let propagation = mount.propagation.isEmpty ? "rprivate" : mount.propagation
        return self.mount(
            mount.destination, "bind", mount.source, ["rbind", mount.isReadOnly ? "rro" : "rw", propagation])
    }

    // MARK: linux

    private var linux: JSON {
        var linux: JSON = [
            "namespaces": JSON(namespaces), "cgroupsPath": JSON(cgroupParent + "/" + record.id), "resources": resources,
        ]
        var sysctls = host["Sysctls"].stringDictionary ?? [:]
        if networkNamespace != .host {
            // As Docker: any user may bind low ports and ping, since the network is the container's own.
            sysctls["net.ipv4.ip_unprivileged_port_start"] = sysctls["net.ipv4.ip_unprivileged_port_start"] ?? "0"
            sysctls["net.ipv4.ping_group_range"] = sysctls["net.ipv4.ping_group_range"] ?? "0 2147483647"
        }
        if !sysctls.isEmpty { linux["sysctl"] = JSON(sysctls) }
        if !devices.isEmpty { linux["devices"] = JSON(devices.map(\.node)) }
        if isPrivileged { return linux }
        linux["maskedPaths"] = JSON(host["MaskedPaths"].strings ?? ContainerSpec.maskedPaths)
        linux["readonlyPaths"] = JSON(host["ReadonlyPaths"].strings ?? ContainerSpec.readonlyPaths)
        switch securityOption("seccomp") {
        case nil, "builtin", "default": linux["seccomp"] = ["profile": "default"]
        case "unconfined": break
        // The docker CLI sends the profile's text; `create` has checked that it is JSON.
        case let profile?: linux["seccomp"] = (try? JSON(parsing: profile)) ?? ["profile": "default"]
        }
        return linux
    }

    private var namespaces: [JSON] {
        var namespaces: [JSON] = [["type": "mount"]]
        switch networkNamespace {
        case .host, .machine: break
        case .new: namespaces.append(["type": "network"])
        case .path(let path): namespaces.append(["type": "network", "path": JSON(path)])
        }
        for (type, mode) in [("pid", "PidMode"), ("ipc", "IpcMode"), ("uts", "UTSMode"), ("cgroup", "CgroupnsMode")] {
            if let path = joined[type] {
                namespaces.append(["type": JSON(type), "path": JSON(path)])
            } else if host[mode].string != "host" {
                namespaces.append(["type": JSON(type)])
            }
        }
        return namespaces
    }

    private var resources: JSON {
        var resources = ContainerResources.spec(host, defaultPidsLimit: defaultPidsLimit)
        allocation.adjust(&resources, cores: cores)
        let rules = devices.map { device -> JSON in
            [
                "allow": true, "type": device.node["type"], "major": device.node["major"],
                "minor": device.node["minor"], "access": JSON(device.access),
            ]
        }
        let all: [JSON] = isPrivileged ? [["allow": true, "access": "rwm"]] : [["allow": false, "access": "rwm"]]
        resources["devices"] = JSON(all + rules + (resources["devices"].array ?? []))
        return resources
    }

    /// What Docker hides of /proc and /sys: interfaces that act on, or tell about, the whole host.
    static let maskedPaths = [
        "/proc/asound", "/proc/acpi", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
        "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware",
        "/sys/devices/virtual/powercap",
    ]
    static let readonlyPaths = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]
}
