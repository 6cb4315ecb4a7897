import Base
import CLinux
import Glibc
import Kernel
import OCI

/// The sources of a container's mounts that only the runtime can open: those the container's user namespace may not
/// reach, devices it may not make, and mounts that map ids.
final class MountSources {
    /// Detached mounts by their place in the spec's list.
    private(set) var trees: [Int: OwnedDescriptor] = [:]
    /// Detached mounts of the spec's devices, by path; empty where the container makes them itself.
    private(set) var devices: [String: OwnedDescriptor] = [:]
    /// The device files themselves: a mount of an unlinked file cannot be moved.
    private var files: [String] = []

    init() {}

    deinit { for path in files { unlink(path) } }

    /// - Parameter scratch: a directory to make device files in, which go with this object.
    init(_ spec: RuntimeSpec, bundle: String?, scratch: String) throws {
        let hasUsers = spec.namespace(.user) != nil
        for (index, mount) in spec.mounts.enumerated() {
            let options = MountOptions(mount.options)
            guard ContainerPlanner.isBind(mount, options) else {
                guard options.idMap == nil, mount.uidMappings.isEmpty else {
                    throw SkalaError(.unsupported, "mount \(mount.destination): id maps are for bind mounts only")
                }
                continue
            }
            let maps = try MountSources.mappings(mount, options, spec)
            guard hasUsers || maps != nil, let source = mount.source, !source.isEmpty else { continue }
            let path = source.hasPrefix("/") ? source : (bundle ?? "") + "/" + source
            let recursive = options.recursiveBind || mount.type == "rbind"
            let tree = OwnedDescriptor(
                try check(cl_clone_mount(CL_AT_FDCWD, path, recursive ? 1 : 0), "open_tree", path))
            if let maps {
                let users = try UserNamespace.make(maps.uids, maps.gids)
                try check(
                    cl_change_mount(tree.raw, options.idMap == .recursive ? 1 : 0, 0, 0, users.raw),
                    "map the ids of", path)
            }
            trees[index] = tree
        }
        if hasUsers { for device in spec.devices { devices[device.path] = try make(device, spec, in: scratch) } }
    }

    private static func mappings(
        _ mount: RuntimeMount, _ options: MountOptions, _ spec: RuntimeSpec
    ) throws(SkalaError) -> (uids: [RuntimeIDMapping], gids: [RuntimeIDMapping])? {
        if let own = options.idMapping { return (own.uids, own.gids) }
        if !mount.uidMappings.isEmpty { return (mount.uidMappings, mount.gidMappings) }
        guard options.idMap != nil else { return nil }
        guard !spec.uidMappings.isEmpty, !spec.gidMappings.isEmpty else {
            throw SkalaError(.invalid, "mount \(mount.destination): idmap without mappings")
        }
        return (spec.uidMappings, spec.gidMappings)
    }

    private func make(_ device: RuntimeDevice, _ spec: RuntimeSpec, in scratch: String) throws -> OwnedDescriptor {
        let path = scratch + "/device-" + Identifier.make().prefix(16)
        let kind: UInt32 = device.type == "b" ? S_IFBLK : device.type == "p" ? S_IFIFO : S_IFCHR
        let number = cl_device_number(UInt32(clamping: device.major), UInt32(clamping: device.minor))
        try checkErrno(mknod(path, kind | device.mode, dev_t(number)), "mknod", device.path)
        files.append(path)
        try checkErrno(chmod(path, device.mode), "chmod", device.path)
        let uid = MountSources.hostID(device.uid, spec.uidMappings),
            gid = MountSources.hostID(device.gid, spec.gidMappings)
        try checkErrno(chown(path, uid, gid), "chown", device.path)
        let tree = OwnedDescriptor(try check(cl_clone_mount(CL_AT_FDCWD, path, 0), "open_tree", path))
        // MOUNT_ATTR_NODEV: a runtime's folder often lies on a file system that is mounted nodev.
        try check(cl_change_mount(tree.raw, 0, 0, 4, -1), "mount_setattr", path)
        return tree
    }

    private static func hostID(_ id: UInt32, _ mappings: [RuntimeIDMapping]) -> UInt32 {
        for mapping in mappings where id >= mapping.container && id - mapping.container < mapping.size {
            return mapping.host + (id - mapping.container)
        }
        return id
    }
}

/// User namespaces that only carry id maps.
enum UserNamespace {
    static func make(_ uids: [RuntimeIDMapping], _ gids: [RuntimeIDMapping]) throws -> OwnedDescriptor {
        let plan = ChildPlan()
        plan.add(CL_STEP_PARENT_DEATH, "prctl PR_SET_PDEATHSIG", [Int64(SIGKILL)])
        plan.add(CL_STEP_HOLD, "hold")
        let flag = ContainerPlanner.cloneFlags[.user] ?? 0
        let launch = try Launch(plan: plan, flags: flag, cgroup: nil, gate: nil)
        defer { launch.destroy() }
        try write(uids, gids, pid: launch.pid)
        return try OwnedDescriptor.open("/proc/\(launch.pid)/ns/user", O_RDONLY)
    }

    /// More ids than one's own come from /etc/subuid, which newuidmap and newgidmap (package uidmap) look after.
    private static func help(_ program: String, _ mappings: [RuntimeIDMapping], _ pid: Int32) throws(KernelError) {
        let numbers = mappings.flatMap { [$0.container, $0.host, $0.size] }.map { String($0) }
        guard try Subprocess.run([program, String(pid)] + numbers) == 0 else {
            throw KernelError(program, "process \(pid)", errno: EPERM)
        }
    }

    /// Gives a process's new user namespace its maps.
    static func write(_ uids: [RuntimeIDMapping], _ gids: [RuntimeIDMapping], pid: Int32) throws(KernelError) {
        let isPlain = [(uids, getuid()), (gids, getgid())].allSatisfy { mappings, own in
            mappings.count == 1 && mappings[0].host == own && mappings[0].size == 1
        }
        if getuid() != 0, isPlain { try SmallFile.write("deny", to: "/proc/\(pid)/setgroups") }
        for (file, mappings) in [("uid_map", uids), ("gid_map", gids)] {
            if getuid() != 0, !isPlain {
                try help(file == "uid_map" ? "/usr/bin/newuidmap" : "/usr/bin/newgidmap", mappings, pid)
                continue
            }
            try SmallFile.write(mappings.map(\.line).joined(separator: "\n"), to: "/proc/\(pid)/\(file)")
        }
    }
}
