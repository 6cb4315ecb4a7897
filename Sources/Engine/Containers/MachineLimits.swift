import Base

/// What a container in a VM cannot have, with the reason. It is refused, never ignored.
enum MachineLimits {
    /// - Throws: `.invalid` naming the option and why.
    static func check(_ config: JSON, _ host: JSON, _ isolation: Isolation) throws(SkalaError) {
        let shared = "its kernel is not the host's"
        for (field, option) in [
            ("NetworkMode", "--network"), ("PidMode", "--pid"), ("IpcMode", "--ipc"), ("UTSMode", "--uts"),
            ("CgroupnsMode", "--cgroupns"),
        ] {
            let mode = host[field].string ?? ""
            if mode == "host" || mode.hasPrefix("container:") { throw refused("\(option) \(mode)", shared, isolation) }
        }
        if host["Devices"].array?.isEmpty == false {
            throw refused("--device", "the host's devices stay on the host", isolation)
        }
        guard isolation == .pod else { return }
        if host["Annotations"][Allocation.annotation].string == Allocation.dedicated.rawValue {
            throw refused("allocation dedicated", "its processors are shared with the pod's other containers", .pod)
        }
        if let key = host["Sysctls"].object?.keys.first(where: { $0.hasPrefix("net.") }) {
            throw refused("--sysctl \(key)", "the network is the pod's", .pod)
        }
        for (field, option) in [("CpusetCpus", "--cpuset-cpus"), ("CpusetMems", "--cpuset-mems")]
        where !(host[field].string ?? "").isEmpty {
            throw refused(option, "its processors and memory are the pod's", .pod)
        }
        for field in ["BlkioDeviceReadBps", "BlkioDeviceWriteBps", "BlkioDeviceReadIOps", "BlkioDeviceWriteIOps"]
        where host[field].array?.isEmpty == false {
            throw refused(field, "the host's devices stay on the host", .pod)
        }
        if try ContainerResources.networkRate(host) != nil {
            throw refused("a limit of the network's rate", "the network is the pod's", .pod)
        }
    }

    /// Folders of the host in the VM.
    static func check(_ mounts: [ContainerRecord.Mount], _ isolation: Isolation) throws(SkalaError) {
        let kept = ["", "private", "rprivate"]
        if let mount = mounts.first(where: { !kept.contains($0.propagation) }) {
            throw refused(
                "propagation \(mount.propagation) of \(mount.destination)", "mounts do not cross its wall", isolation)
        }
    }

    static func refused(_ what: String, _ reason: String, _ isolation: Isolation) -> SkalaError {
        SkalaError(.invalid, "\(what) is not possible at isolation \(isolation.rawValue): \(reason)")
    }
}
