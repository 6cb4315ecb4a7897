import Base
import Glibc
import Kernel
import CNftables
import CLinux

/// Whether a process of the host has a port.
enum PortProbe {
    /// Tries to bind it. Blocking, for a moment.
    static func isFree(_ port: PublishedPort) -> Bool {
        let isStream = port.protocol == "tcp"
        let type = Int32(isStream ? SOCK_STREAM.rawValue : SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
        let isIPv6 = port.hostIP.contains(":")
        let descriptor = socket(isIPv6 ? AF_INET6 : AF_INET, type, 0)
        guard descriptor >= 0 else { return false }
        defer { close(descriptor) }
        // A connection that is only waiting to be forgotten does not take the port.
        var on: Int32 = 1
        setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &on, socklen_t(MemoryLayout<Int32>.size))
        return isIPv6 ? bindIPv6(descriptor, port) : bindIPv4(descriptor, port)
    }

    private static func bindIPv4(_ descriptor: Int32, _ port: PublishedPort) -> Bool {
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.hostPort.bigEndian
        inet_pton(AF_INET, port.hostIP.isEmpty ? "0.0.0.0" : port.hostIP, &address.sin_addr)
        return bind(descriptor, &address)
    }

    private static func bindIPv6(_ descriptor: Int32, _ port: PublishedPort) -> Bool {
        var address = sockaddr_in6()
        address.sin6_family = sa_family_t(AF_INET6)
        address.sin6_port = port.hostPort.bigEndian
        inet_pton(AF_INET6, port.hostIP, &address.sin6_addr)
        return bind(descriptor, &address)
    }

    private static func bind<Address>(_ descriptor: Int32, _ address: inout Address) -> Bool {
        let size = socklen_t(MemoryLayout<Address>.size)
        return withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { Glibc.bind(descriptor, $0, size) }
        } == 0
    }
}
