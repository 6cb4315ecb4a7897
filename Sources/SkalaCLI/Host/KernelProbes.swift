import Base
import CLinux
import Glibc
import Kernel

/// What the kernel offers apart from control groups and networks.
enum KernelProbes {
    static var all: [Probe] {
        [
            ("root", root), ("kernel", kernel), ("pidfd", pidfd), ("openat2", openat2), ("namespaces", namespaces),
            ("overlayfs", overlay), ("seccomp", seccomp), ("idmapped mounts", idmapped), ("open files", openFiles),
        ]
    }

    private static func root() -> Finding {
        getuid() == 0
            ? .ok("running as root")
            : .missing(
                "running as user \(getuid())", costs: "the engine needs root, and most probes here do",
                mend: "run 'sudo skala doctor'")
    }

    private static func kernel() -> Finding {
        let version = HostFacts.kernelVersion
        let numbers = version.split(whereSeparator: { !$0.isNumber }).prefix(2).compactMap { Int($0) }
        let isNew = numbers.count == 2 && (numbers[0], numbers[1]) >= (5, 10)
        return isNew
            ? .ok("Linux \(version), \(HostFacts.operatingSystem)")
            : .missing(
                "Linux \(version)", costs: "clone3, openat2 or the mount calls the engine is built on are missing",
                mend: "install a kernel of version 5.10 or newer")
    }

    private static func pidfd() -> Finding {
        let descriptor = cl_pidfd_open(getpid(), 0)
        guard descriptor >= 0 else {
            return .missing(
                reason(descriptor), costs: "processes cannot be waited for without a race",
                mend: "install a newer kernel, or allow pidfd_open in this container's seccomp profile")
        }
        close(descriptor)
        return .ok("processes are held by descriptors")
    }

    private static func openat2() -> Finding {
        let descriptor = cl_openat2(AT_FDCWD, "/", UInt64(CL_O_PATH), 0, UInt64(RESOLVE_IN_ROOT))
        guard descriptor >= 0 else {
            return .missing(
                reason(descriptor), costs: "paths in containers cannot be resolved safely",
                mend: "install a newer kernel, or allow openat2 in this container's seccomp profile")
        }
        close(descriptor)
        return .ok("paths in containers cannot lead out of them")
    }

    /// CLONE_NEWTIME, which the C library's headers do not have everywhere.
    private static let timeNamespace: Int32 = 0x80

    private static func namespaces() throws -> Finding {
        let kinds: [(name: String, flag: Int32, isEssential: Bool)] = [
            ("mount", Int32(CLONE_NEWNS), true), ("pid", Int32(CLONE_NEWPID), true),
            ("net", Int32(CLONE_NEWNET), true), ("ipc", Int32(CLONE_NEWIPC), true),
            ("uts", Int32(CLONE_NEWUTS), true), ("cgroup", Int32(CLONE_NEWCGROUP), false),
            ("user", Int32(CLONE_NEWUSER), false), ("time", timeNamespace, false),
        ]
        var made: [String] = []
        var failed: [(name: String, reason: String, isEssential: Bool)] = []
        for kind in kinds {
            if let reason = try ProbeProcess.run(["namespace", "\(kind.flag)"]) {
                failed.append((kind.name, reason, kind.isEssential))
            } else {
                made.append(kind.name)
            }
        }
        guard let first = failed.first else { return .ok(made.joined(separator: ", ")) }
        let detail = "no \(failed.map(\.name).joined(separator: ", ")) (\(first.reason))"
        if failed.contains(where: \.isEssential) {
            return .missing(
                detail, costs: "containers cannot be separated",
                mend: "run as root on a kernel with CONFIG_NAMESPACES, not inside a container without privileges")
        }
        return .limited(
            detail, costs: "containers that ask for these namespaces are refused",
            mend: "enable them in the kernel (user: sysctl user.max_user_namespaces)")
    }

    /// A folder of our own on the file system the engine keeps its data on, and no more afterwards.
    private static func inFolder<Value>(_ body: (String) throws -> Value) throws -> Value {
        let place =
            ["/var/lib/skala", "/var/lib"].first(where: { (path: String) in access(path, W_OK) == 0 }) ?? "/tmp"
        let folder = "\(place)/.skala-doctor-\(getpid())"
        try FileContents.makeDirectories(folder, mode: 0o700)
        defer {
            // Nothing is mounted there any more; should something stay, the next run would not mind.
            try? FileContents.removeTree(folder)
        }
        return try body(folder)
    }

    private static func overlay() throws -> Finding {
        try inFolder { folder in
            guard let reason = try ProbeProcess.run(["overlay", folder]) else {
                return .ok("mounted and written through on \(CopyPath.folder(folder))")
            }
            return .missing(
                reason, costs: "images cannot be shared between containers",
                mend: "load the module 'overlay', and keep /var/lib/skala on ext4, xfs or btrfs (not on overlayfs)")
        }
    }

    private static func seccomp() throws -> Finding {
        guard let reason = try ProbeProcess.run(["seccomp"]) else { return .ok("filters can be loaded") }
        return .missing(
            reason, costs: "containers could make every system call", mend: "use a kernel with CONFIG_SECCOMP_FILTER")
    }

    private static func idmapped() throws -> Finding {
        try inFolder { folder in
            let (ready, output) = try Pipe.make()
            let (input, hold) = try Pipe.make()
            let child = try Subprocess.spawn(
                ["/proc/self/exe", ProbeProcess.command.name, "hold-user-namespace"], input: input.raw,
                output: output.raw)
            input.close()
            output.close()
            defer {
                hold.close()
                // Its status says nothing more.
                _ = try? Subprocess.wait(child)
            }
            let answer = String(decoding: try Pipe.read(ready.raw, upTo: 256), as: UTF8.self)
            guard answer == "ready" else { return limitedIdmap(answer) }
            do {
                for kind in ["uid_map", "gid_map"] {
                    try SmallFile.write("0 100000 65536", to: "/proc/\(child)/\(kind)")
                }
                let namespace = try OwnedDescriptor.open("/proc/\(child)/ns/user", O_RDONLY)
                _ = OwnedDescriptor(try check(cl_idmapped_mount(folder, namespace.raw), "mount_setattr", folder))
            } catch { return limitedIdmap("\(error)") }
            return .ok("volumes can be shown with mapped owners")
        }
    }

    private static func limitedIdmap(_ reason: String) -> Finding {
        .limited(
            reason, costs: "containers in user namespaces see volumes with foreign owners",
            mend: "use a file system with idmapped mounts (ext4, xfs, btrfs; kernel 5.12 or newer)")
    }

    private static func openFiles() -> Finding {
        var limit = rlimit()
        getrlimit(__rlimit_resource_t(7), &limit)
        return limit.rlim_max >= 16384
            ? .ok("at most \(limit.rlim_max)")
            : .limited(
                "at most \(limit.rlim_max)", costs: "a few hundred containers at most",
                mend: "raise LimitNOFILE of the service, or 'ulimit -Hn'")
    }

    private static func reason(_ result: Int32) -> String { KernelError("", "", errno: -result).reason }
}
