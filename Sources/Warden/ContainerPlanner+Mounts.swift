import Base
import CLinux
import Glibc
import Kernel
import OCI

extension ContainerPlanner {
    /// Files of /proc that tools such as LXCFS replace; everything else there must stay the kernel's (CVE-2019-16884).
    private static let replaceable: Set = [
        "/proc/cpuinfo", "/proc/diskstats", "/proc/meminfo", "/proc/stat", "/proc/swaps", "/proc/uptime",
        "/proc/loadavg", "/proc/slabinfo", "/proc/sys/kernel/ns_last_pid",
    ]

    static func isBind(_ mount: RuntimeMount, _ options: MountOptions) -> Bool {
        options.bind || mount.type == "bind" || mount.type == "rbind"
    }

    func add(_ mount: RuntimeMount, _ index: Int, to plan: ChildPlan) throws(SkalaError) {
        let options = MountOptions(mount.options)
        let destination = mount.destination
        let type = mount.type ?? ""
        let isBind = ContainerPlanner.isBind(mount, options)
        let parts = destination.split(separator: "/").filter { $0 != "." }
        guard !parts.contains(".."), !parts.isEmpty else {
            throw SkalaError(.invalid, "invalid mount destination '\(destination)'")
        }
        if parts[0] == "proc", type != "proc", !(parts.count == 1 && isBind && mount.source == "/proc"),
            !ContainerPlanner.replaceable.contains("/" + parts.joined(separator: "/"))
        {
            throw SkalaError(.forbidden, "a mount may not cover \(destination)")
        }
        if isBind {
            try bind(mount, options, sources.trees[index], plan)
        } else if type == "cgroup" || type == "cgroup2" {
            controlGroups(mount, options, plan)
        } else {
            guard !type.isEmpty else { throw SkalaError(.invalid, "mount \(destination): no type") }
            let strict = type == "proc" || type == "sysfs"
            if options.copiesUp, type != "tmpfs" {
                throw SkalaError(.invalid, "mount \(destination): tmpcopyup is for tmpfs only")
            }
            plan.add(
                CL_STEP_MOUNT, "mount \(type) on \(destination)",
                [Int64(options.set), Int64(options.propagation), strict ? 1 : 0, options.copiesUp ? 1 : 0],
                texts: [destination, type, mount.source ?? type], data: plan.list(options.data))
        }
    }

    private func bind(
        _ mount: RuntimeMount, _ options: MountOptions, _ tree: OwnedDescriptor?, _ plan: ChildPlan
    ) throws(SkalaError) {
        guard let source = mount.source, !source.isEmpty else {
            throw SkalaError(.invalid, "mount \(mount.destination): a bind needs a source")
        }
        let path = source.hasPrefix("/") ? source : (bundle ?? "") + "/" + source
        let recursive = options.recursiveBind || mount.type == "rbind"
        let recursiveAttributes = options.recursiveSet != 0 || options.recursiveClear != 0
        plan.add(
            CL_STEP_BIND, "bind \(path) on \(mount.destination)",
            [
                (recursive ? 1 : 0) | (ContainerPlanner.replaceable.contains(mount.destination) ? 2 : 0),
                Int64(options.set | options.recursiveSet),
                Int64(options.clear | options.recursiveClear), recursiveAttributes ? 1 : 0, Int64(options.propagation),
                Int64(tree?.raw ?? 0),
            ], texts: [mount.destination, path])
    }

    /// The container's own groups: the version 2 tree, or one directory a version 1 hierarchy.
    private func controlGroups(_ mount: RuntimeMount, _ options: MountOptions, _ plan: ChildPlan) {
        let attributes = Int64(options.set)
        if !layout.limitsOnVersion1 {
            guard let path = cgroup.version2Path else { return }
            if spec.namespace(.cgroup) != nil {
                plan.add(
                    CL_STEP_MOUNT, "mount cgroup2 on \(mount.destination)", [attributes, 0, 0],
                    texts: [mount.destination, "cgroup2", "cgroup"], data: plan.list([]))
            } else {
                plan.add(
                    CL_STEP_BIND, "bind \(path) on \(mount.destination)", [1, attributes, 0, 0, 0],
                    texts: [mount.destination, path])
            }
            return
        }
        plan.add(
            CL_STEP_MOUNT, "mount tmpfs on \(mount.destination)", [attributes & ~1, 0, 0],
            texts: [mount.destination, "tmpfs", "tmpfs"], data: plan.list(["mode=755"]))
        for (controller, path) in cgroup.paths.sorted(by: { $0.key < $1.key }) {
            plan.add(
                CL_STEP_BIND, "bind \(path)", [0, attributes, 0, 0, 0],
                texts: [mount.destination + "/" + controller, path])
        }
        if let path = cgroup.version2Path {
            plan.add(
                CL_STEP_BIND, "bind \(path)", [0, attributes, 0, 0, 0], texts: [mount.destination + "/unified", path])
        }
    }

    /// The devices every container has (runtime specification, "Default Devices"), and the spec's.
    func devices(_ plan: ChildPlan) {
        guard spec.mounts.contains(where: { $0.destination == "/dev" && $0.type == "tmpfs" }) || rootFileSystem != nil
        else { return addDevices(spec.devices, plan) }
        let standard: [(String, Int64, Int64)] = [
            ("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9), ("tty", 5, 0),
        ]
        let wanted = Set(spec.devices.map(\.path))
        addDevices(
            standard.map { RuntimeDevice(path: "/dev/" + $0.0, type: "c", major: $0.1, minor: $0.2) }
                .filter { !wanted.contains($0.path) } + spec.devices, plan)
        let links = [
            ("/proc/self/fd", "/dev/fd"), ("/proc/self/fd/0", "/dev/stdin"), ("/proc/self/fd/1", "/dev/stdout"),
            ("/proc/self/fd/2", "/dev/stderr"), ("/proc/kcore", "/dev/core"), ("pts/ptmx", "/dev/ptmx"),
        ]
        for (target, path) in links { plan.add(CL_STEP_SYMLINK, "link \(path)", texts: [target, path]) }
    }

    private func addDevices(_ devices: [RuntimeDevice], _ plan: ChildPlan) {
        for device in devices {
            if let tree = sources.devices[device.path] {
                plan.add(
                    CL_STEP_BIND, "bind the device \(device.path)", [0, 0, 0, 0, 0, Int64(tree.raw)],
                    texts: [device.path])
                continue
            }
            let kind: UInt32 = device.type == "b" ? S_IFBLK : device.type == "p" ? S_IFIFO : S_IFCHR
            let number = cl_device_number(UInt32(clamping: device.major), UInt32(clamping: device.minor))
            plan.add(
                CL_STEP_DEVICE, "make the device \(device.path)",
                [Int64(kind | device.mode), Int64(bitPattern: number), Int64(device.uid), Int64(device.gid)],
                texts: [device.path, device.path])
        }
    }
}
