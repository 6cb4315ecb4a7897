import Base
import CLinux
import Glibc
import Kernel

/// The OCI runtime specification that QEMU runs by: an unprivileged user of its own, no network, no capabilities, and
/// of the host's files only its program and libraries, read-only.
struct MachineSpec {
    let id: String
    /// QEMU's arguments.
    let arguments: [String]
    /// The empty folder that becomes its root.
    let root: String
    /// The folder of its sockets on the host.
    let folder: String
    let cgroupParent: String
    /// Device files it may use, such as /dev/kvm.
    let devices: [HostDevice]
    /// Bytes of guest memory.
    let memory: Int64
    /// Whether the guest's memory is a private mapping of its template's.
    let isClone: Bool
    /// The program that continues a QEMU from a checkpoint, when that is what is run.
    var checkpointProgram: String?

    /// Where it is seen.
    static let checkpointProgramPath = "/checkpoint"
    /// Where QEMU sees the folder of its sockets.
    static let socketFolder = "/vm"
    /// What QEMU itself takes beside the guest's memory: buffers, and translated code under emulation. Less gets it
    /// killed in the middle of its work.
    static let overhead: Int64 = 512 << 20
    /// The users of VMs are 2^24 numbers from here on, one for each VM, chosen by its id.
    private static let firstUser: UInt32 = 0x7800_0000

    /// The user a VM runs as.
    static func user(of id: String) -> UInt32 { firstUser + (UInt32(id.prefix(6), radix: 16) ?? 0) }

    var json: JSON { json(resources: ["memory": ["limit": JSON(memory + MachineSpec.overhead)]], hasTerminal: false) }

    /// - Parameter resources: `linux.resources`, to which devices and processes are added.
    func json(resources: JSON, hasTerminal: Bool) -> JSON {
        let user = MachineSpec.user(of: id)
        var spec: JSON = ["ociVersion": "1.2.0", "hostname": "vm"]
        spec["process"] = [
            "terminal": JSON(hasTerminal), "args": JSON(arguments), "env": ["PATH=/usr/bin", "HOME=/"], "cwd": "/",
            "user": ["uid": JSON(user), "gid": JSON(user)],
            "capabilities": ["bounding": [], "effective": [], "permitted": [], "inheritable": [], "ambient": []],
            "noNewPrivileges": true,
        ]
        spec["root"] = ["path": JSON(root), "readonly": true]
        spec["mounts"] = JSON(hasTerminal ? mounts + [MachineSpec.terminals] : mounts)
        spec["linux"] = linux(resources)
        return spec
    }

    private static let terminals = mount(
        "/dev/pts", "devpts", "devpts", ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"])

    private var mounts: [JSON] {
        MachineSpec.programMounts + [
            MachineSpec.mount(MachineSpec.socketFolder, "bind", folder, ["bind", "nosuid", "nodev", "noexec"])
        ]
            + (checkpointProgram.map {
                [MachineSpec.mount(MachineSpec.checkpointProgramPath, "bind", $0, ["bind", "ro", "nosuid", "nodev"])]
            } ?? [])
    }

    /// What programs of the host need to run: themselves and their libraries.
    static var programMounts: [JSON] {
        [
            mount("/proc", "proc", "proc", ["nosuid", "noexec", "nodev"]),
            mount("/dev", "tmpfs", "tmpfs", ["nosuid", "mode=755", "size=64k"]),
        ] + programFolders.map { mount($0, "bind", $0, ["rbind", "ro", "nosuid", "nodev"]) }
    }

    static func mount(_ destination: String, _ type: String, _ source: String, _ options: [String]) -> JSON {
        ["destination": JSON(destination), "type": JSON(type), "source": JSON(source), "options": JSON(options)]
    }

    private func linux(_ given: JSON) -> JSON {
        // The guest keeps the workload's memory limit; the host's bounds what QEMU can take.
        var resources = given
        resources["pids"] = ["limit": 512]
        let rules = devices.map { device -> JSON in
            let node = device.node(at: device.path)
            return [
                "allow": true, "type": node["type"], "major": node["major"], "minor": node["minor"], "access": "rw",
            ]
        }
        resources["devices"] = JSON([["allow": false, "access": "rwm"]] + rules)
        return [
            "namespaces": [
                ["type": "mount"], ["type": "pid"], ["type": "ipc"], ["type": "uts"], ["type": "network"],
                ["type": "cgroup"],
            ],
            "cgroupsPath": JSON(cgroupParent + "/" + id), "resources": resources,
            "devices": JSON(devices.map(node)), "seccomp": seccomp,
        ]
    }

    /// Docker's profile. To give back memory that the guest does not use any more, QEMU punches a hole into the memory's
    /// file, and then drops its own pages. The file of a clone is the template's, sealed, and must keep its content; that
    /// half is answered as done. Only this half is left out: what QEMU drops was written by this guest alone.
    ///
    /// A process that continues from a checkpoint cannot have its heap where `brk` would have it; without that call the C
    /// library maps all of its memory, before the checkpoint as after it.
    private var seccomp: JSON {
        guard isClone else { return ["profile": "default"] }
        let punchHole: JSON = 3  // FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE
        return [
            "profile": "default",
            "syscalls": [
                [
                    "names": ["fallocate"], "action": "SCMP_ACT_ALLOW",
                    "args": [["index": 1, "value": punchHole, "op": "SCMP_CMP_NE"]],
                ],
                [
                    "names": ["fallocate"], "action": "SCMP_ACT_ERRNO", "errnoRet": 0,
                    "args": [["index": 1, "value": punchHole, "op": "SCMP_CMP_EQ"]],
                ],
                ["names": ["brk"], "action": "SCMP_ACT_ERRNO", "errnoRet": 0],
            ],
        ]
    }

    /// The device's file in QEMU's own /dev, where it belongs to QEMU's user.
    private func node(_ device: HostDevice) -> JSON {
        let user = MachineSpec.user(of: id)
        var node = device.node(at: device.path)
        node["uid"] = JSON(user)
        node["gid"] = JSON(user)
        return node
    }

    // MARK: the root

    /// The folders that hold programs and libraries; those that are links stay links.
    private static let programFolders = ["/usr", "/lib", "/lib64", "/bin"].filter { path in
        var status = stat()
        return lstat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
    }

    /// Makes the empty folder with its mount points, for QEMU and the programs beside it.
    static func makeRoot(_ path: String) throws {
        for folder in ["/proc", "/dev", "/share", socketFolder] + programFolders {
            try FileContents.makeDirectories(path + folder)
        }
        if access(path + checkpointProgramPath, F_OK) != 0 {
            try FileContents.replace(path + checkpointProgramPath, with: [])
        }
        for link in ["/lib", "/lib64", "/bin"] where !programFolders.contains(link) {
            guard symlink("usr" + link, path + link) == 0 || errno == EEXIST else {
                throw KernelError("symlink", path + link, errno: errno)
            }
        }
    }
}
