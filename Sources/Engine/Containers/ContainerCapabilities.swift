import Base

/// Linux capabilities a container's program starts with (capabilities(7)).
enum ContainerCapabilities {
    /// Docker's default set.
    static let defaults = [
        "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_MKNOD", "CAP_NET_RAW", "CAP_SETGID",
        "CAP_SETUID", "CAP_SETFCAP", "CAP_SETPCAP", "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT", "CAP_KILL",
        "CAP_AUDIT_WRITE",
    ]

    static let all = [
        "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_SETGID",
        "CAP_SETUID", "CAP_SETPCAP", "CAP_LINUX_IMMUTABLE", "CAP_NET_BIND_SERVICE", "CAP_NET_BROADCAST",
        "CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_IPC_LOCK", "CAP_IPC_OWNER", "CAP_SYS_MODULE", "CAP_SYS_RAWIO",
        "CAP_SYS_CHROOT", "CAP_SYS_PTRACE", "CAP_SYS_PACCT", "CAP_SYS_ADMIN", "CAP_SYS_BOOT", "CAP_SYS_NICE",
        "CAP_SYS_RESOURCE", "CAP_SYS_TIME", "CAP_SYS_TTY_CONFIG", "CAP_MKNOD", "CAP_LEASE", "CAP_AUDIT_WRITE",
        "CAP_AUDIT_CONTROL", "CAP_SETFCAP", "CAP_MAC_OVERRIDE", "CAP_MAC_ADMIN", "CAP_SYSLOG", "CAP_WAKE_ALARM",
        "CAP_BLOCK_SUSPEND", "CAP_AUDIT_READ", "CAP_PERFMON", "CAP_BPF", "CAP_CHECKPOINT_RESTORE",
    ]

    /// `net_admin`, `CAP_NET_ADMIN` and `ALL`, as users write them.
    ///
    /// - Throws: `.invalid` for an unknown name, with Docker's text.
    static func normalize(_ name: String) throws(SkalaError) -> String {
        let upper = name.uppercased()
        if upper == "ALL" { return upper }
        let full = upper.hasPrefix("CAP_") ? upper : "CAP_" + upper
        guard all.contains(full) else { throw SkalaError(.invalid, "invalid capability: \"\(name)\"") }
        return full
    }

    /// The effective set. Names are normalized already.
    static func set(privileged: Bool, add: [String], drop: [String]) -> [String] {
        if privileged { return all }
        var set = Set(drop.contains("ALL") ? [] : add.contains("ALL") ? all : defaults)
        set.formUnion(add.filter { $0 != "ALL" })
        set.subtract(drop)
        return all.filter(set.contains)
    }

    static func spec(privileged: Bool, add: [String], drop: [String]) -> JSON {
        let names = JSON(set(privileged: privileged, add: add, drop: drop))
        return ["bounding": names, "effective": names, "permitted": names]
    }
}
