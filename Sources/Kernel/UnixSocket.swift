import CLinux
import Glibc
import CSeccomp

/// Blocking stream sockets in the file system.
public enum UnixSocket {
    /// Connects to the socket at `path`.
    ///
    /// - Parameter limit: how long to wait, in nanoseconds, while a server that accepts nothing has a full queue.
    /// - Throws: `EAGAIN` when that time has passed.
    public static func connect(_ path: String, limit: Int64 = 10_000_000_000) throws(KernelError) -> OwnedDescriptor {
        let descriptor = OwnedDescriptor(
            try checkErrno(
                socket(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0), "socket", path))
        // Of a socket in the file system connect() waits as long as a send may.
        try limitWaits(descriptor.raw, SO_SNDTIMEO, to: limit)
        var address = try address(path)
        let length = socklen_t(MemoryLayout<sockaddr_un>.size)
        let status = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { Glibc.connect(descriptor.raw, $0, length) }
        }
        try checkErrno(status, "connect", path)
        try limitWaits(descriptor.raw, SO_SNDTIMEO, to: 0)
        return descriptor
    }

    /// Bounds each send (`SO_SNDTIMEO`) or receive (`SO_RCVTIMEO`) of a socket, in nanoseconds; 0 is for ever.
    public static func limitWaits(_ descriptor: Int32, _ option: Int32, to limit: Int64) throws(KernelError) {
        var time = timeval(tv_sec: Int(limit / 1_000_000_000), tv_usec: Int(limit % 1_000_000_000 / 1000))
        try checkErrno(
            setsockopt(descriptor, SOL_SOCKET, option, &time, socklen_t(MemoryLayout<timeval>.size)), "setsockopt")
    }

    /// The address of a path, which must fit the kernel's 108 bytes.
    public static func address(_ path: String) throws(KernelError) -> sockaddr_un {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let bytes = Array(path.utf8)
        let capacity = MemoryLayout.size(ofValue: address.sun_path)
        guard bytes.count < capacity else { throw KernelError("connect", path, errno: ENAMETOOLONG) }
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bytes) }
        return address
    }

    /// Writes all of `bytes`, blocking; false when the peer has gone.
    public static func writeAll(_ descriptor: Int32, _ bytes: [UInt8]) -> Bool {
        var written = 0
        while written < bytes.count {
            let count = bytes.withUnsafeBytes {
                Glibc.send(
                    descriptor, $0.baseAddress?.advanced(by: written), bytes.count - written, Int32(MSG_NOSIGNAL))
            }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { return false }
            written += count
        }
        return true
    }
}
