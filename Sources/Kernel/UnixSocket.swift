import CLinux
import Glibc
import CSeccomp

/// Blocking stream sockets in the file system.
public enum UnixSocket {
    /// Connects to the socket at `path`.
    public static func connect(_ path: String) throws(KernelError) -> OwnedDescriptor {
        let descriptor = OwnedDescriptor(
            try checkErrno(
                socket(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0), "socket", path))
        var address = try address(path)
        let length = socklen_t(MemoryLayout<sockaddr_un>.size)
        let status = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { Glibc.connect(descriptor.raw, $0, length) }
        }
        try checkErrno(status, "connect", path)
        return descriptor
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
