import Base
import Glibc
import Kernel

extension RuntimeCommand {
    /// What is supported (runtime specification, "Features").
    static let features: JSON = [
        "ociVersionMin": "1.0.0", "ociVersionMax": JSON(specificationVersion),
        "hooks": ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"],
        "mountOptions": JSON(MountOptions.names),
        "linux": [
            "namespaces": ["cgroup", "ipc", "mount", "network", "pid", "time", "user", "uts"],
            "capabilities": JSON(Capability.names),
            "cgroup": [
                "v1": true, "v2": true, "systemd": false, "systemdUser": false, "rdma": true,
            ],
            "seccomp": [
                "enabled": true,
                "actions": [
                    "SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO", "SCMP_ACT_KILL", "SCMP_ACT_KILL_PROCESS",
                    "SCMP_ACT_KILL_THREAD", "SCMP_ACT_LOG", "SCMP_ACT_NOTIFY", "SCMP_ACT_TRACE", "SCMP_ACT_TRAP",
                ],
                "operators": [
                    "SCMP_CMP_EQ", "SCMP_CMP_GE", "SCMP_CMP_GT", "SCMP_CMP_LE", "SCMP_CMP_LT", "SCMP_CMP_MASKED_EQ",
                    "SCMP_CMP_NE",
                ],
                "archs": [
                    "SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM", "SCMP_ARCH_MIPS", "SCMP_ARCH_MIPS64", "SCMP_ARCH_MIPS64N32",
                    "SCMP_ARCH_MIPSEL", "SCMP_ARCH_MIPSEL64", "SCMP_ARCH_MIPSEL64N32", "SCMP_ARCH_PARISC",
                    "SCMP_ARCH_PARISC64", "SCMP_ARCH_PPC", "SCMP_ARCH_PPC64", "SCMP_ARCH_PPC64LE", "SCMP_ARCH_RISCV64",
                    "SCMP_ARCH_S390", "SCMP_ARCH_S390X", "SCMP_ARCH_X32", "SCMP_ARCH_X86", "SCMP_ARCH_X86_64",
                ],
                "knownFlags": JSON(SeccompCompiler.flagNames), "supportedFlags": JSON(SeccompCompiler.flagNames),
            ],
            "apparmor": ["enabled": false], "selinux": ["enabled": false], "intelRdt": ["enabled": false],
            "mountExtensions": ["idmap": ["enabled": true]], "netDevices": ["enabled": false],
        ],
        "potentiallyUnsafeConfigAnnotations": ["run.oci.keep_original_groups"],
    ]

    static func writeExample(_ bundle: String, rootless: Bool) throws {
        let path = bundle + "/config.json"
        guard access(path, F_OK) != 0 else { throw SkalaError(.conflict, "\(path) exists") }
        try RuntimeState.write(example(rootless: rootless).pretty() + "\n", to: path)
    }

    private static func example(rootless: Bool) -> JSON {
        func mount(_ type: String, _ path: String, _ options: JSON, source: String? = nil) -> JSON {
            [
                "destination": JSON(path), "type": JSON(type), "source": JSON(source ?? type), "options": options,
            ]
        }
        let capabilities: JSON = ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"]
        let terminals: JSON = ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]
        let systemOptions: JSON = ["nosuid", "noexec", "nodev", "ro"]
        // A network of the user's own would be needed to mount a sysfs; the host's is bound instead.
        let system =
            rootless
            ? mount("none", "/sys", ["rbind", "nosuid", "noexec", "nodev", "ro"], source: "/sys")
            : mount("sysfs", "/sys", systemOptions)
        var spec: JSON = [
            "ociVersion": JSON(specificationVersion),
            "process": [
                "terminal": true, "user": ["uid": 0, "gid": 0], "args": ["sh"],
                "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"], "cwd": "/",
                "capabilities": ["bounding": capabilities, "effective": capabilities, "permitted": capabilities],
                "rlimits": [["type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024]], "noNewPrivileges": true,
            ],
            "root": ["path": "rootfs", "readonly": true], "hostname": "skala",
            "mounts": [
                mount("proc", "/proc", []),
                mount("tmpfs", "/dev", ["nosuid", "strictatime", "mode=755", "size=65536k"]),
                mount("devpts", "/dev/pts", rootless ? terminals : .array((terminals.array ?? []) + ["gid=5"])),
                mount("tmpfs", "/dev/shm", ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"], source: "shm"),
                mount("mqueue", "/dev/mqueue", ["nosuid", "noexec", "nodev"]), system,
                mount("cgroup", "/sys/fs/cgroup", ["nosuid", "noexec", "nodev", "relatime", "ro"]),
            ],
            "linux": [
                "maskedPaths": [
                    "/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
                    "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware",
                ], "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
            ],
        ]
        var kinds = ["pid", "ipc", "uts", "mount", "cgroup"]
        if rootless {
            kinds.append("user")
            spec["linux"]["uidMappings"] = [["containerID": 0, "hostID": JSON(getuid()), "size": 1]]
            spec["linux"]["gidMappings"] = [["containerID": 0, "hostID": JSON(getgid()), "size": 1]]
        } else {
            kinds.append("network")
            spec["linux"]["resources"] = ["devices": [["allow": false, "access": "rwm"]]]
        }
        spec["linux"]["namespaces"] = .array(kinds.map { ["type": JSON($0)] })
        return spec
    }
}
