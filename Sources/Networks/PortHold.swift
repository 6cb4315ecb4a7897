import CLinux
import CNftables
import Glibc
import Kernel

/// Takes ports of the host from everyone else: a program, or another engine, that wants a published one gets "address in
/// use", as if a server had it. The sockets are bound and never listen: packets are translated before the kernel would
/// look for a socket, and one that is not (`::1`) is refused.
enum PortHold {
    /// Binds the port. Does not wait; two system calls a family.
    ///
    /// - Parameter families: those the port is published with, when its address does not say.
    /// - Returns: what holds it until closed.
    /// - Throws: `EADDRINUSE` when another program has it, `EADDRNOTAVAIL` when the host has no such address.
    static func take(_ port: PublishedPort, families: [IPFamily]) throws(KernelError) -> [OwnedDescriptor] {
        // Programs that listen with SCTP are rare, and many kernels have no sockets of it.
        guard port.protocol != "sctp" else { return [] }
        let all = port.hostIP.isEmpty ? families : [port.hostIP.contains(":") ? .v6 : .v4]
        var held: [OwnedDescriptor] = []
        for family in all { held.append(try bound(port, family)) }
        return held
    }

    private static func bound(_ port: PublishedPort, _ family: IPFamily) throws(KernelError) -> OwnedDescriptor {
        let isStream = port.protocol == "tcp"
        do {
            // Without SO_REUSEADDR: with it, two that both have it may bind the same port as long as neither listens.
            return try bound(port, family, isStream, reuses: false)
        } catch {
            guard isStream, error.errno == EADDRINUSE else { throw error }
        }
        // Connections of a server that has ended may be waiting to be forgotten, which does not take the port from a
        // new server. Listening for a moment tells them from a port that is taken, and makes the hold exclusive.
        let socket = try bound(port, family, isStream, reuses: true)
        try checkErrno(listen(socket.raw, 0), "listen", "port \(port.hostPort)")
        try checkErrno(shutdown(socket.raw, Int32(SHUT_RDWR)), "shutdown", "port \(port.hostPort)")
        try set(socket, SOL_SOCKET, SO_REUSEADDR, 0)
        return socket
    }

    private static func bound(
        _ port: PublishedPort, _ family: IPFamily, _ isStream: Bool, reuses: Bool
    ) throws(KernelError) -> OwnedDescriptor {
        let type = Int32(isStream ? SOCK_STREAM.rawValue : SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
        let socket = OwnedDescriptor(
            try checkErrno(Glibc.socket(family.socketFamily, type, 0), "socket", port.protocol))
        if reuses { try set(socket, SOL_SOCKET, SO_REUSEADDR, 1) }
        if family == .v4 {
            var address = sockaddr_in()
            address.sin_family = sa_family_t(AF_INET)
            address.sin_port = port.hostPort.bigEndian
            inet_pton(AF_INET, port.hostIP.isEmpty ? "0.0.0.0" : port.hostIP, &address.sin_addr)
            try bind(socket, &address, port)
        } else {
            try set(socket, Int32(IPPROTO_IPV6), IPV6_V6ONLY, 1)
            var address = sockaddr_in6()
            address.sin6_family = sa_family_t(AF_INET6)
            address.sin6_port = port.hostPort.bigEndian
            inet_pton(AF_INET6, port.hostIP.isEmpty ? "::" : port.hostIP, &address.sin6_addr)
            try bind(socket, &address, port)
        }
        return socket
    }

    private static func set(
        _ socket: OwnedDescriptor, _ level: Int32, _ option: Int32, _ value: Int32
    ) throws(KernelError) {
        var value = value
        try checkErrno(
            setsockopt(socket.raw, level, option, &value, socklen_t(MemoryLayout<Int32>.size)), "setsockopt",
            "\(option)")
    }

    private static func bind<Address>(
        _ socket: OwnedDescriptor, _ address: inout Address, _ port: PublishedPort
    ) throws(KernelError) {
        let size = socklen_t(MemoryLayout<Address>.size)
        let result = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { Glibc.bind(socket.raw, $0, size) }
        }
        try checkErrno(result, "bind", "port \(port.hostPort)")
    }
}
