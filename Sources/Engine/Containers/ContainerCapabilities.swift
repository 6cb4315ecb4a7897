import Base
import Kernel

/// Linux capabilities a container's program starts with (capabilities(7)).
enum ContainerCapabilities {
    /// Docker's default set.
    static let defaults = [
        "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_MKNOD", "CAP_NET_RAW", "CAP_SETGID",
        "CAP_SETUID", "CAP_SETFCAP", "CAP_SETPCAP", "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT", "CAP_KILL",
        "CAP_AUDIT_WRITE",
    ]

    static let all = Capability.names

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
