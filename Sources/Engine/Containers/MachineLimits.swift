import Base
import Machines

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
        if host["CgroupParent"].string?.isEmpty == false {
            throw refused("--cgroup-parent", "its VM is the pod's other containers' too", .pod)
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

    /// The annotations that say how a VM starts: the release of its kernel, and `cold`, to boot instead of being cloned.
    static let kernelAnnotation = "skala.kernel"
    static let startAnnotation = "skala.start"

    /// - Throws: `.invalid` for a container that has no VM, and for an unknown way to start.
    static func checkAnnotations(_ host: JSON, hasMachine: Bool) throws(SkalaError) {
        let annotations = host["Annotations"]
        for key in [kernelAnnotation, startAnnotation] where !annotations[key].isNull && !hasMachine {
            throw SkalaError(.invalid, "annotation \(key): it needs a VM of the container's own (--isolation microvm)")
        }
        if let start = annotations[startAnnotation].string, start != "cold", start != "clone" {
            throw SkalaError(.invalid, "invalid annotation \(startAnnotation)=\(start): expected cold or clone")
        }
    }

    /// The least a disk with a file system and a journal takes.
    private static let smallestDisk: Int64 = 32 << 20

    /// `--storage-opt size=`: how large the disk of a VM is.
    ///
    /// - Throws: `.invalid` for a container, other options, and sizes that are no disk's.
    static func checkStorage(_ host: JSON, hasDisk: Bool) throws(SkalaError) {
        let options = host["StorageOpt"].object ?? JSONObject()
        guard !options.isEmpty else { return }
        guard hasDisk else {
            throw SkalaError(
                .invalid,
                "HostConfig.StorageOpt is not supported: the size of a container's file system cannot be limited with "
                    + "overlayfs on this file system; that of a VM's can (--isolation microvm)")
        }
        for option in options.members {
            guard option.key == "size", let text = option.value.string else {
                throw SkalaError(.invalid, "unknown storage option '\(option.key)': expected size")
            }
            guard try ByteSize.parse(text) >= smallestDisk else {
                throw SkalaError(.invalid, "storage option size=\(text): at least 32m")
            }
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

    /// Parts `linux.resources`: CPU time and disks are limited on the host, where QEMU takes them; the guest keeps the
    /// rest. Cores are the host's, and the guest has others.
    static func part(_ resources: JSON) -> (host: JSON, guest: JSON) {
        var (host, guest): (JSON, JSON) = ([:], resources)
        for key in ["cpu", "blockIO"] where !resources[key].isNull { host[key] = resources[key] }
        guest["blockIO"] = .null
        for key in ["cpus", "mems"] where !guest["cpu"].isNull { guest["cpu"][key] = .null }
        return (host, guest)
    }

    /// Checks limits for a VM that runs.
    ///
    /// - Parameters:
    ///   - memory: the VM's, in bytes.
    /// - Returns: what is less than was asked for, in words.
    /// - Throws: `.invalid` naming the VM's size for what is beyond it.
    static func check(_ changes: JSON, memory: Int64, processors: Int) throws(SkalaError) -> [String] {
        func mebibytes(_ bytes: Int64) -> String { "\(bytes >> 20) MiB" }
        var warnings: [String] = []
        if let limit = changes["Memory"].int, limit > 0 {
            guard limit <= memory else {
                throw SkalaError(
                    .invalid,
                    "a memory limit of \(mebibytes(limit)) is beyond the VM, which has \(mebibytes(memory)) until it is started "
                        + "anew: stop the container, update it, and start it")
            }
            if limit + MachineShape.overhead > memory {
                warnings.append(
                    "The VM has \(mebibytes(memory)), of which its kernel takes a part: about "
                        + "\(mebibytes(memory - MachineShape.overhead)) of the limit of \(mebibytes(limit)) can be used until it is started anew."
                )
            }
        }
        let period = changes["CpuPeriod"].int ?? 0
        let quota = Double(changes["CpuQuota"].int ?? 0) / Double(period > 0 ? period : 100_000)
        let cores = max(Double(changes["NanoCpus"].int ?? 0) / 1e9, quota)
        if cores > Double(processors) {
            warnings.append("The VM has \(processors) processors until it is started anew.")
        }
        return warnings
    }
}
