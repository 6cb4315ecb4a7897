import Base

/// What a container in a VM of its own cannot have, with the reason. It is refused, never ignored.
enum MachineLimits {
    /// - Throws: `.invalid` naming the option and why.
    static func check(_ config: JSON, _ host: JSON) throws(SkalaError) {
        let shared = "its kernel is not the host's"
        for (field, option) in [
            ("NetworkMode", "--network"), ("PidMode", "--pid"), ("IpcMode", "--ipc"), ("UTSMode", "--uts"),
            ("CgroupnsMode", "--cgroupns"),
        ] {
            let mode = host[field].string ?? ""
            if mode == "host" || mode.hasPrefix("container:") { throw refused("\(option) \(mode)", shared) }
        }
        if host["Devices"].array?.isEmpty == false { throw refused("--device", "the host's devices stay on the host") }
    }

    /// Folders of the host in the VM.
    static func check(_ mounts: [ContainerRecord.Mount]) throws(SkalaError) {
        let kept = ["", "private", "rprivate"]
        if let mount = mounts.first(where: { !kept.contains($0.propagation) }) {
            throw refused("propagation \(mount.propagation) of \(mount.destination)", "mounts do not cross its wall")
        }
    }

    static func refused(_ what: String, _ reason: String) -> SkalaError {
        SkalaError(.invalid, "\(what) is not possible at isolation microvm: \(reason)")
    }
}
