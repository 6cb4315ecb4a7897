import Base
import Glibc
import Kernel

/// Another program that runs containers, as a further column: on the same files, in the host's network.
enum Peer: String, Sendable, CaseIterable {
    case runc, crun

    /// Why it cannot be used on this host; nil when it can.
    var obstacle: String? {
        guard geteuid() == 0 else { return "\(rawValue): it is run as root" }
        guard HostProgram.find(rawValue) != nil else { return "\(rawValue): not installed" }
        // What cannot be read here fails when it starts.
        if self == .crun, let layout = try? CgroupLayout.detect(), layout.limitsOnVersion1, layout.version2 != nil {
            return "crun: it refuses a host with cgroup versions 1 and 2 at once"
        }
        return nil
    }
}

/// A container of a peer.
final class PeerCommand: Startable {
    let address = "127.0.0.1"
    private let peer: Peer
    private let name: String
    private let folder: String
    private var process: pid_t = 0

    /// Starts it: `runc run` or `crun run`, in the foreground of a process of its own.
    ///
    /// - Parameters:
    ///   - root: the image's files.
    ///   - scratch: a folder for its configuration, and for what it says.
    init(_ peer: Peer, program: String, root: String, name: String, scratch: String) throws {
        self.peer = peer
        self.name = name
        folder = "\(scratch)/\(name)"
        try FileContents.makeDirectories(folder)
        let path = HostProgram.find(peer.rawValue) ?? peer.rawValue
        let configuration = PeerCommand.configuration(program, root: root, name: name)
        try FileContents.replace("\(folder)/config.json", with: Array(configuration.text.utf8))
        let command = [path, "run", "--bundle", folder, name]
        let log = try OwnedDescriptor.open("\(folder)/log", O_WRONLY | O_CREAT | O_TRUNC, mode: 0o600)
        process = try Subprocess.spawn(command, output: log.raw, errors: log.raw, newSession: true)
    }

    /// The runtime specification's least: namespaces of processes, mounts, IPC and names.
    private static func configuration(_ program: String, root: String, name: String) -> JSON {
        func mount(_ type: String, _ place: String, _ options: [String]) -> JSON {
            ["type": JSON(type), "source": JSON(type), "destination": JSON(place), "options": JSON(options)]
        }
        let capabilities: JSON = ["CAP_CHOWN", "CAP_KILL", "CAP_NET_BIND_SERVICE", "CAP_SETGID", "CAP_SETUID"]
        return [
            "ociVersion": "1.0.2", "hostname": JSON(name), "root": ["path": JSON(root)],
            "process": [
                "args": ["/bin/sh", "-c", JSON(program)], "cwd": "/", "user": ["uid": 0, "gid": 0],
                "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
                "capabilities": ["bounding": capabilities, "effective": capabilities, "permitted": capabilities],
            ],
            "mounts": [
                mount("proc", "/proc", ["nosuid", "noexec", "nodev"]), mount("tmpfs", "/dev", ["nosuid", "mode=755"]),
                mount("tmpfs", "/run", ["nosuid", "nodev"]), mount("tmpfs", "/tmp", ["nosuid", "nodev"]),
            ],
            "linux": ["namespaces": [["type": "pid"], ["type": "mount"], ["type": "ipc"], ["type": "uts"]]],
        ]
    }

    // It is for an error's text: without it the error is still told.
    func log() -> String {
        String(decoding: ((try? FileContents.read("\(folder)/log")) ?? []).suffix(2000), as: UTF8.self)
    }

    func remove() {
        guard process != 0 else { return }
        let path = HostProgram.find(peer.rawValue) ?? peer.rawValue
        let end = [path, "delete", "--force", name]
        // One that ended by itself is not there any more; its process is waited for in any case.
        _ = try? Subprocess.output(end, limit: 1 << 16)
        kill(-process, SIGKILL)
        _ = try? Subprocess.wait(process)
        process = 0
        // The run's own folder goes in any case.
        try? FileContents.removeTree(folder)
    }
}
