import Base

/// `HostConfig.CgroupParent`: the control group that a container's own is made in, as Docker's cgroupfs driver takes it.
///
/// With a leading slash it counts from the root of the hierarchies, otherwise from Skala's own group.
enum CgroupParent {
    /// - Throws: `.invalid` with the reason for what is no group's path, and for groups that belong to others.
    static func check(_ text: String) throws(SkalaError) {
        func refused(_ reason: String) -> SkalaError {
            SkalaError(.invalid, "invalid cgroup parent '\(text)': \(reason)")
        }
        let parts = text.split(separator: "/")
        guard !parts.contains("..") else { throw refused("'..' is not possible in it") }
        guard !text.contains(where: { $0 == ":" || $0.isNewline || $0 == "\0" }) else {
            throw refused("a group's name has no colon, line feed or zero byte")
        }
        guard parts.allSatisfy({ $0.utf8.count <= 255 }), text.utf8.count <= 1024 else {
            throw refused("it is too long")
        }
        if let last = parts.last, last.hasSuffix(".slice") {
            throw refused(
                "a slice is systemd's, which alone makes groups in it: name a group of your own, or one that systemd delegates"
            )
        }
        // Those of containers are removed with all that is in them.
        if let container = parts.first(where: { $0.count == Identifier.length && $0.allSatisfy(\.isHexDigit) }) {
            throw refused("\(Identifier.short(String(container))) is a container's own group")
        }
    }

    /// The path of a container's parent group below the root of each hierarchy; nil when none was asked for.
    ///
    /// - Parameter own: Skala's group.
    static func path(_ host: JSON, own: String) -> String? {
        guard let text = host["CgroupParent"].string, !text.isEmpty else { return nil }
        let parts = text.split(separator: "/").filter { $0 != "." }
        return (text.hasPrefix("/") ? "" : own) + parts.map { "/" + $0 }.joined()
    }
}
