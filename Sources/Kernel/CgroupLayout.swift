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
        for line in mountinfo.split(separator: "\n") {
            let fields = line.split(separator: " ")
            guard let dash = fields.firstIndex(of: "-"), dash > 5, dash + 3 < fields.count else { continue }
            let point = String(fields[4])
            if fields[dash + 1] == "cgroup2", version2 == nil { version2 = point }
            guard fields[dash + 1] == "cgroup" else { continue }
            for option in fields[dash + 3].split(separator: ",") where known.contains(String(option)) {
                version1[String(option)] = version1[String(option)] ?? point
            }
        }
    }
}
