import Glibc
import Kernel

/// Asks whether somebody accepts connections.
enum TCPProbe {
    /// Blocking, for as long as it is told at most.
    static func answers(_ address: IPAddress, _ port: UInt16, milliseconds: Int32) -> Bool {
        let family = address.family == .v4 ? AF_INET : AF_INET6
        let raw = socket(family, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue), 0)
        guard raw >= 0 else { return false }
        let descriptor = OwnedDescriptor(raw)
        // No FIN handshake for a connection that says nothing.
        var linger = linger(l_onoff: 1, l_linger: 0)
        setsockopt(raw, SOL_SOCKET, SO_LINGER, &linger, socklen_t(MemoryLayout<linger>.size))
        guard connect(raw, address, port) else { return false }
        var polled = pollfd(fd: descriptor.raw, events: Int16(POLLOUT), revents: 0)
        guard poll(&polled, 1, milliseconds) == 1 else { return false }
        var failure: Int32 = 0
        var length = socklen_t(MemoryLayout<Int32>.size)
        return getsockopt(raw, SOL_SOCKET, SO_ERROR, &failure, &length) == 0 && failure == 0
    }

    private static func connect(_ descriptor: Int32, _ address: IPAddress, _ port: UInt16) -> Bool {
        func begin<Address>(_ value: Address) -> Bool {
            withUnsafePointer(to: value) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    Glibc.connect(descriptor, $0, socklen_t(MemoryLayout<Address>.size))
                }
            } == 0 || errno == EINPROGRESS
        }
        let bytes = address.bytes
        if address.family == .v4 {
            var value = sockaddr_in()
            value.sin_family = sa_family_t(AF_INET)
            value.sin_port = port.bigEndian
            withUnsafeMutableBytes(of: &value.sin_addr) { $0.copyBytes(from: bytes) }
            return begin(value)
        }
        var value = sockaddr_in6()
        value.sin6_family = sa_family_t(AF_INET6)
        value.sin6_port = port.bigEndian
        withUnsafeMutableBytes(of: &value.sin6_addr) { $0.copyBytes(from: bytes) }
        return begin(value)
    }
}
