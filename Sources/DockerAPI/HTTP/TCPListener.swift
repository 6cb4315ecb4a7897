import Base
import Glibc
import Kernel

/// Binds TCP sockets for the server. Made here rather than by NIO, whose listening sockets children inherit: a warden that
/// outlives the daemon would keep the address from the next one.
enum TCPListener {
    /// A bound socket, closed in children. Blocking: a host's name may be looked up.
    ///
    /// - Throws: `KernelError`, `SkalaError` `.invalid` for a host that is none.
    static func bind(host: String, port: Int) throws -> OwnedDescriptor {
        var hints = addrinfo()
        hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        var found: UnsafeMutablePointer<addrinfo>?
        let failure = getaddrinfo(host, "\(port)", &hints, &found)
        guard failure == 0, let first = found else {
            throw SkalaError(.invalid, "no address \"\(host)\": \(String(cString: gai_strerror(failure)))")
        }
        defer { freeaddrinfo(found) }
        let type = Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue)
        let name = "\(host):\(port)"
        let socket = OwnedDescriptor(
            try checkErrno(Glibc.socket(first.pointee.ai_family, type, first.pointee.ai_protocol), "socket", name))
        var yes: Int32 = 1
        try checkErrno(
            setsockopt(socket.raw, SOL_SOCKET, SO_REUSEADDR, &yes, socklen_t(MemoryLayout<Int32>.size)), "setsockopt",
            name)
        try checkErrno(Glibc.bind(socket.raw, first.pointee.ai_addr, first.pointee.ai_addrlen), "bind", name)
        return socket
    }
}
