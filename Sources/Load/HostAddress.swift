import Base
import CLinux
import Glibc
import Kernel

/// An address to connect to.
struct HostAddress: Sendable {
    private let bytes: [UInt8]
    let family: Int32

    private init(_ information: addrinfo) {
        family = information.ai_family
        bytes = Array(UnsafeRawBufferPointer(start: information.ai_addr, count: Int(information.ai_addrlen)))
    }

    /// A socket that does not block and is connecting, or the error number.
    func connect() -> (socket: Int32, error: Int32) {
        let kind = Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue)
        let descriptor = socket(family, kind, 0)
        guard descriptor >= 0 else { return (-1, errno) }
        var one: Int32 = 1
        setsockopt(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &one, socklen_t(MemoryLayout<Int32>.size))
        let status = bytes.withUnsafeBytes { raw in
            guard let base = raw.baseAddress else { return Int32(-1) }
            return Glibc.connect(
                descriptor, base.assumingMemoryBound(to: sockaddr.self), socklen_t(raw.count))
        }
        if status == 0 || errno == EINPROGRESS { return (descriptor, 0) }
        let error = errno
        close(descriptor)
        return (-1, error)
    }

    /// The addresses of a host. Where a name has several, those that accept a connection now are taken, so that a server
    /// on one family only is not half unreachable; all of them when none does.
    ///
    /// - Throws: `SkalaError` `.notFound` for an unknown name.
    static func find(host: String, port: UInt16) throws(SkalaError) -> [HostAddress] {
        var hints = addrinfo()
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        var list: UnsafeMutablePointer<addrinfo>?
        let status = getaddrinfo(host, String(port), &hints, &list)
        defer { if list != nil { freeaddrinfo(list) } }
        guard status == 0 else {
            throw SkalaError(.notFound, "host '\(host)': \(String(cString: gai_strerror(status)).lowercased())")
        }
        var addresses: [HostAddress] = []
        var next = list
        while let entry = next {
            addresses.append(HostAddress(entry.pointee))
            next = entry.pointee.ai_next
        }
        guard addresses.count > 1 else { return addresses }
        let accepting = addresses.filter(\.accepts)
        return accepting.isEmpty ? addresses : accepting
    }

    private var accepts: Bool {
        let (descriptor, error) = connect()
        guard error == 0 else { return false }
        defer { close(descriptor) }
        var set = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
        return poll(&set, 1, 1000) == 1 && HostAddress.error(of: descriptor) == 0
    }

    /// The error a socket waits to tell.
    static func error(of descriptor: Int32) -> Int32 {
        var error: Int32 = 0
        var size = socklen_t(MemoryLayout<Int32>.size)
        return getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &error, &size) == 0 ? error : errno
    }
}
