import Glibc

/// Where this machine's control groups are mounted: version 1, version 2, or both (hybrid).
///
/// Taken from /proc/self/mountinfo: a directory below /sys/fs/cgroup proves nothing.
public struct CgroupLayout: Sendable {
    /// The mount point of each version 1 controller.
    public private(set) var version1: [String: String] = [:]
    /// The mount point of the version 2 tree.
    public private(set) var version2: String?
    /// The version 2 controllers available at its root.
    public private(set) var controllers: Set<String> = []

    /// Limits are set on version 1 hierarchies.
    public var limitsOnVersion1: Bool { version1["memory"] != nil || version1["pids"] != nil || version1["cpu"] != nil }

    /// No control groups at all.
    public static let none = CgroupLayout(mountinfo: "")

    public static func detect() throws(KernelError) -> CgroupLayout {
        var layout = CgroupLayout(mountinfo: try SmallFile.text("/proc/self/mountinfo"))
        // A mount that another one covers is listed all the same, and its path leads elsewhere.
        layout.version1 = layout.version1.filter { access($0.value + "/cgroup.procs", F_OK) == 0 }
        if let root = layout.version2, access(root + "/cgroup.procs", F_OK) != 0 { layout.version2 = nil }
        if let root = layout.version2, let text = try? SmallFile.text(root + "/cgroup.controllers") {
            // No such file: the tree was unmounted meanwhile; then it has no controllers.
            layout.controllers = Set(text.split(whereSeparator: { $0 == " " || $0 == "\n" }).map(String.init))
        }
        return layout
    }

    /// Parses mountinfo: `id parent major:minor root mountpoint options … - type source superoptions`.
    init(mountinfo: String) {
        let known: Set = [
            "cpu", "cpuacct", "cpuset", "memory", "devices", "freezer", "blkio", "pids", "hugetlb", "net_cls",
            "net_prio", "perf_event", "rdma",
        ]
        // Bytes, and first of all the type: a host with many containers has many mounts.
        for line in Array(mountinfo.utf8).split(separator: UInt8(ascii: "\n")) {
            let fields = line.split(separator: UInt8(ascii: " "), maxSplits: 6)
            guard fields.count == 7, fields[4].first == UInt8(ascii: "/"),
                let type = CgroupLayout.rest(of: line, after: " - cgroup")
            else { continue }
            let point = String(decoding: fields[4], as: UTF8.self)
            let words = String(decoding: type, as: UTF8.self).split(separator: " ", omittingEmptySubsequences: false)
            guard words.count >= 3 else { continue }
            if words[0] == "2", version2 == nil { version2 = point }
            guard words[0].isEmpty, let options = words.last else { continue }
            for option in options.split(separator: ",").map(String.init) where known.contains(option) {
                version1[option] = version1[option] ?? point
            }
        }
    }

    /// What follows the first place where `text` stands.
    private static func rest(of line: ArraySlice<UInt8>, after text: StaticString) -> ArraySlice<UInt8>? {
        let length = text.utf8CodeUnitCount
        guard line.count >= length else { return nil }
        return line.withUnsafeBytes { bytes in
            for start in 0...bytes.count - length {
                guard let base = bytes.baseAddress, memcmp(base + start, text.utf8Start, length) == 0 else { continue }
                return line[(line.startIndex + start + length)...]
            }
            return nil
        }
    }
}
