import Glibc
import Kernel

/// What control groups this host has.
enum CgroupProbes {
    static var all: [Probe] {
        [
            ("cgroups", hierarchy), ("cgroup limits", limits), ("cgroup kill, freeze", version2),
            ("pressure", pressure),
        ]
    }

    private static func hierarchy() throws -> Finding {
        let layout = try CgroupLayout.detect()
        switch (layout.version1.isEmpty, layout.version2) {
        case (true, let path?): return .ok("version 2 at \(path)")
        case (false, let path?): return .ok("hybrid: limits on version 1, version 2 at \(path)")
        case (false, nil):
            return .limited(
                "version 1 only", costs: "no pressure figures, and killing a container takes longer",
                mend: "boot with systemd.unified_cgroup_hierarchy=1, or mount cgroup2 on /sys/fs/cgroup/unified")
        case (true, nil):
            return .missing("none is mounted", costs: "no limits at all", mend: "mount cgroup2 on /sys/fs/cgroup")
        }
    }

    /// Makes a group in the hierarchies that hold limits, and removes it.
    private static func limits() throws -> Finding {
        let layout = try CgroupLayout.detect()
        let wanted = ["memory", "pids", "cpu", "cpuset"]
        var held: [String] = []
        for controller in wanted {
            guard let root = layout.version1[controller] else {
                if layout.controllers.contains(controller) { held.append(controller) }
                continue
            }
            try tryGroup(in: root) { _ in }
            held.append(controller)
        }
        if layout.version1.isEmpty, let root = layout.version2 { try tryGroup(in: root) { _ in } }
        let lacking = wanted.filter { !held.contains($0) }
        guard !lacking.isEmpty else { return .ok(held.joined(separator: ", ")) }
        let cost = "limits of \(lacking.joined(separator: ", ")) are refused"
        let remedy = "enable the controllers (boot with cgroup_enable=memory; cgroup.subtree_control)"
        return lacking.contains("memory") || lacking.contains("pids")
            ? .missing("no \(lacking.joined(separator: ", "))", costs: cost, mend: remedy)
            : .limited("no \(lacking.joined(separator: ", "))", costs: cost, mend: remedy)
    }

    private static func version2() throws -> Finding {
        guard let root = try CgroupLayout.detect().version2 else {
            return .limited(
                "no version 2 tree", costs: "killing a container takes longer", mend: "see 'cgroups'")
        }
        var lacking: [String] = []
        try tryGroup(in: root) { group in
            lacking = ["cgroup.kill", "cgroup.freeze"].filter { access(group + "/" + $0, W_OK) != 0 }
        }
        return lacking.isEmpty
            ? .ok("whole containers at once")
            : .limited(
                "no \(lacking.joined(separator: ", "))", costs: "killing a container takes longer",
                mend: "use kernel 5.14 or newer")
    }

    private static func tryGroup(in root: String, _ body: (String) throws -> Void) throws {
        let group = "\(root)/skala-doctor-\(getpid())"
        try checkErrno(mkdir(group, 0o755), "mkdir", group)
        defer { rmdir(group) }
        try body(group)
    }

    private static func pressure() -> Finding {
        if (try? SmallFile.read("/proc/pressure/cpu"))?.isEmpty == false {
            return .ok("CPU, memory and I/O waits are measured")
        }
        return .limited(
            "/proc/pressure cannot be read", costs: "'skala top' and autoscaling see no waiting",
            mend: "boot with psi=1 on a kernel with CONFIG_PSI")
    }
}
