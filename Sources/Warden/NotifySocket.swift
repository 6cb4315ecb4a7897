import Base
import CLinux
import Glibc
import Kernel

/// A socket in the container for sd_notify(3): the service manager's own cannot be reached from there.
///
/// A folder of ours appears at the path of the manager's socket; what the container's main process reports there as
/// ready is passed on.
final class NotifySocket {
    private let host: String
    private let folder: String
    private var socket: OwnedDescriptor?

    /// Nil when nobody wants to be notified.
    init?(folder: String) {
        guard let host = getenv("NOTIFY_SOCKET").map({ String(cString: $0) }), host.hasPrefix("/") else { return nil }
        self.host = host
        self.folder = folder + "/notify"
    }

    /// Shows the folder in the container.
    func add(to json: inout JSON) {
        let mount: JSON = [
            "destination": JSON(host), "type": "bind", "source": JSON(folder), "options": ["bind", "nosuid", "nodev"],
        ]
        json["mounts"] = .array((json["mounts"].array ?? []) + [mount])
        json["process"]["env"] = JSON((json["process"]["env"].strings ?? []) + ["NOTIFY_SOCKET=\(host)/notify"])
    }

    func prepare() throws(KernelError) { try FileContents.makeDirectories(folder) }

    /// Only now: a socket lives as long as the process that serves it.
    func listen() throws {
        guard access(folder, F_OK) == 0 else { return }
        let path = folder + "/notify"
        let kind = Int32(SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue)
        let socket = OwnedDescriptor(try checkErrno(Glibc.socket(AF_UNIX, kind, 0), "socket", path))
        unlink(path)
        var address = try UnixSocket.address(path)
        let bound = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(socket.raw, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        try checkErrno(bound, "bind", path)
        // Any user of the container may write to it.
        try checkErrno(chmod(path, 0o777), "chmod", path)
        self.socket = socket
    }

    var descriptor: Int32? { socket?.raw }

    /// Passes `READY=1` on; true when it came.
    @discardableResult
    func forward() -> Bool {
        guard let socket else { return false }
        var buffer = [UInt8](repeating: 0, count: 4096)
        let count = recv(socket.raw, &buffer, buffer.count, 0)
        guard count > 0 else { return false }
        let lines = String(decoding: buffer[..<count], as: UTF8.self).split(separator: "\n")
        guard lines.contains("READY=1"), var address = try? UnixSocket.address(host) else { return false }
        let client = Glibc.socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard client >= 0 else { return false }
        _ = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                sendto(client, "READY=1", 7, Int32(MSG_NOSIGNAL), $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        close(client)
        return true
    }

    /// Waits until the container is ready, or ended.
    func waitForReady(_ process: OwnedDescriptor) throws {
        guard let socket else { return }
        while true {
            var pollers = [socket.raw, process.raw].map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
            if poll(&pollers, 2, -1) < 0, errno != EINTR { throw KernelError("poll", "notify socket", errno: errno) }
            if pollers[0].revents != 0, forward() { return }
            if pollers[1].revents != 0 { return }
        }
    }
}
