import Base
import CLinux
import Glibc
import Kernel

/// Probes that change the process they run in: each is tried in a process of its own, this program called again, and
/// what it made is gone with it.
enum ProbeProcess {
    /// Hidden from the help: only `doctor` calls it.
    static let command = Command(
        "__probe", "Try one thing in this process", "NAME [ARG...]", work: .passThrough { try carryOut($0) })

    /// Tries `words` in a process of its own.
    ///
    /// - Returns: nil when it worked, else the kernel's reason.
    static func run(_ words: [String]) throws -> String? {
        let output = try Subprocess.output(["/proc/self/exe", command.name] + words, limit: 4096)
        return output.isEmpty ? nil : output
    }

    private static func carryOut(_ words: [String]) throws -> Int32 {
        do {
            try attempt(words.first ?? "", Array(words.dropFirst()))
        } catch let error as KernelError {
            StandardStreams.output(error.description)
        }
        return 0
    }

    private static func attempt(_ name: String, _ arguments: [String]) throws {
        switch name {
        case "namespace": try check(cl_unshare(Int32(truncatingIfNeeded: number(arguments))), "unshare")
        case "hold-user-namespace":
            try check(cl_unshare(Int32(CLONE_NEWUSER)), "unshare")
            // The parent maps ids and takes the namespace while this process is there; the end of input ends it.
            StandardStreams.output("ready")
            _ = try Pipe.read(0, upTo: 1)
        case "seccomp": try check(cl_seccomp_allow_all(), "seccomp")
        case "overlay": try overlay(arguments.first ?? "")
        case "network":
            try check(cl_unshare(Int32(CLONE_NEWNET)), "unshare")
            let socket = try NetlinkSocket()
            try socket.createBridge("doctor0", address: [2, 0, 0, 0, 0, 2])
            try socket.setUp("doctor0")
            let here = try OwnedDescriptor.open("/proc/self/ns/net", O_RDONLY)
            let bridge = try socket.links().first { $0.name == "doctor0" }?.index ?? 0
            try socket.createVeth(
                "doctor1", bridge: bridge, peer: "doctor2", peerAddress: [2, 0, 0, 0, 0, 1], namespace: here.raw,
                mtu: 1500)
        case "nftables":
            try check(cl_unshare(Int32(CLONE_NEWNET)), "unshare")
            _ = try Subprocess.output(
                [arguments.first ?? "", "-f", "-"], input: Array(ruleset.utf8), limit: 4096)
        default: throw SkalaError(.invalid, "there is no probe '\(name)'")
        }
    }

    /// What the engine's networks are made of.
    private static let ruleset = """
        table ip skala_doctor {
            map ports { type inet_service : ipv4_addr . inet_service; elements = { 80 : 10.0.0.2 . 80 }; }
            chain before { type nat hook prerouting priority dstnat; dnat to tcp dport map @ports; }
            chain after { type nat hook postrouting priority srcnat; ip saddr 10.0.0.0/8 masquerade; }
        }

        """

    private static func number(_ arguments: [String]) -> Int { arguments.first.flatMap { Int($0) } ?? 0 }

    /// Mounts an overlay in `folder`, writes through it, and looks for the file in its upper layer.
    private static func overlay(_ folder: String) throws {
        try check(cl_unshare(Int32(CLONE_NEWNS)), "unshare")
        try checkErrno(mount(nil, "/", nil, UInt(MS_REC) | UInt(MS_PRIVATE), nil), "mount", "/")
        for name in ["lower", "upper", "work", "merged"] {
            try FileContents.makeDirectories("\(folder)/\(name)")
        }
        let data = "lowerdir=\(folder)/lower,upperdir=\(folder)/upper,workdir=\(folder)/work"
        try checkErrno(mount("overlay", folder + "/merged", "overlay", 0, data), "mount", "overlay")
        try FileContents.overwrite(folder + "/merged/file", with: [1])
        guard access(folder + "/upper/file", F_OK) == 0 else { throw KernelError("overlay", folder, errno: EIO) }
    }
}
