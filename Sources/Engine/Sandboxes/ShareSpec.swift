import Base
import Glibc
import Kernel

/// A folder or file of the host that a VM sees.
struct HostShare: Sendable {
    let source: String
    let isReadOnly: Bool
}

/// The OCI runtime specification of the program that serves folders of the host to one VM (virtiofsd): of the host's
/// files it sees these folders and its own program, and nothing else.
struct ShareSpec {
    let id: String
    let program: String
    /// The empty folder that becomes its root.
    let root: String
    let shares: [HostShare]
    let cgroupParent: String

    private static let folder = "/share"

    /// - Throws: `.unavailable` when it is not installed.
    static func program() throws(SkalaError) -> String {
        // Debian 12 has it in qemu-system-common, later ones in a package of its own.
        let candidates = ["/usr/lib/qemu/virtiofsd", "/usr/libexec/virtiofsd", "/usr/lib/virtiofsd"]
        guard let program = candidates.first(where: { access($0, X_OK) == 0 }) else {
            throw SkalaError(
                .unavailable,
                "folders of the host in a VM need virtiofsd (Debian: qemu-system-common or virtiofsd), which is not installed"
            )
        }
        return program
    }

    /// What acting for any user of the guest takes.
    private static let capabilities: [JSON] = [
        "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_SETGID", "CAP_SETUID", "CAP_MKNOD",
        "CAP_SETFCAP", "CAP_SETPCAP", "CAP_SYS_CHROOT",
    ]

    var json: JSON {
        var spec: JSON = ["ociVersion": "1.2.0", "hostname": "share"]
        let arguments = [
            program, "--fd=3", "-f", "-o", "source=" + ShareSpec.folder, "-o", "sandbox=chroot", "-o", "cache=auto",
            "-o", "announce_submounts", "-o", "xattr", "-o", "posix_lock", "-o", "flock", "--thread-pool-size=4",
        ]
        spec["process"] = [
            "terminal": false, "args": JSON(arguments), "env": ["PATH=/usr/bin", "HOME=/"], "cwd": "/",
            "user": ["uid": 0, "gid": 0],
            "capabilities": [
                "bounding": JSON(ShareSpec.capabilities), "effective": JSON(ShareSpec.capabilities),
                "permitted": JSON(ShareSpec.capabilities), "inheritable": [], "ambient": [],
            ],
            "noNewPrivileges": true,
        ]
        spec["root"] = ["path": JSON(root), "readonly": true]
        spec["mounts"] = JSON(mounts)
        spec["linux"] = [
            "namespaces": [
                ["type": "mount"], ["type": "pid"], ["type": "ipc"], ["type": "uts"], ["type": "network"],
                ["type": "cgroup"],
            ],
            "cgroupsPath": JSON(cgroupParent + "/" + id),
            "resources": [
                "pids": ["limit": 64], "memory": ["limit": JSON(256 << 20)],
                "devices": [["allow": false, "access": "rwm"]],
            ],
        ]
        // No filter of ours: it installs its own, which is narrower.
        return spec
    }

    private var mounts: [JSON] {
        var mounts = MachineSpec.programMounts
        mounts.append(
            MachineSpec.mount(ShareSpec.folder, "tmpfs", "tmpfs", ["nosuid", "nodev", "mode=755", "size=64k"]))
        for (number, share) in shares.enumerated() {
            mounts.append(
                MachineSpec.mount(
                    "\(ShareSpec.folder)/\(number)", "bind", share.source,
                    ["rbind", share.isReadOnly ? "rro" : "rw", "rprivate", "nosuid", "nodev"]))
        }
        return mounts
    }
}
