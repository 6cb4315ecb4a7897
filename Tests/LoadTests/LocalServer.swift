import CLinux
import Glibc
import Kernel
import Synchronization

/// A server on a port of loopback that does with each connection what a test says, on a thread of its own.
final class LocalServer: Sendable {
    let port: UInt16
    private let listener: OwnedDescriptor
    private let threads = WorkerThreads(limit: 64)
    private let accepted = Atomic(0)

    /// - Parameter talk: gets the connection, and its number from 0 on; it is closed afterwards.
    init(_ talk: @escaping @Sendable (LocalConnection, Int) -> Void) throws {
        let kind = Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue)
        listener = OwnedDescriptor(try checkErrno(socket(AF_INET, kind, 0), "socket"))
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = inet_addr("127.0.0.1")
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        let raw = listener.raw
        try withUnsafeMutablePointer(to: &address) { pointer throws(KernelError) in
            try pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { pointer throws(KernelError) in
                try checkErrno(bind(raw, pointer, size), "bind")
                try checkErrno(listen(raw, 256), "listen")
                try checkErrno(getsockname(raw, pointer, &size), "getsockname")
            }
        }
        port = UInt16(bigEndian: address.sin_port)
        threads.submit { [self] in
            while true {
                let socket = cl_accept4(raw, 0)
                if socket == -ECONNABORTED || socket == -EINTR { continue }
                guard socket >= 0 else { return }
                let number = accepted.add(1, ordering: .relaxed).oldValue
                threads.submit {
                    let connection = LocalConnection(OwnedDescriptor(socket))
                    talk(connection, number)
                    connection.close()
                }
            }
        }
    }

    var connections: Int { accepted.load(ordering: .relaxed) }

    /// The thread that accepts ends.
    func close() { shutdown(listener.raw, Int32(SHUT_RDWR)) }
}

/// A connection to it.
final class LocalConnection {
    private let socket: OwnedDescriptor

    fileprivate init(_ socket: OwnedDescriptor) { self.socket = socket }

    /// Waits for a request's head; false at the end of the connection.
    func takeRequest() -> Bool {
        var end = 0
        var byte: UInt8 = 0
        while end < 4 {
            guard read(socket.raw, &byte, 1) == 1 else { return false }
            end = byte == (end % 2 == 0 ? 0x0D : 0x0A) ? end + 1 : 0
        }
        return true
    }

    @discardableResult
    func send(_ text: String) -> Bool { UnixSocket.writeAll(socket.raw, Array(text.utf8)) }

    /// The other end gets a reset, and no end.
    func reset() {
        var linger = linger(l_onoff: 1, l_linger: 0)
        setsockopt(socket.raw, SOL_SOCKET, SO_LINGER, &linger, socklen_t(MemoryLayout<Glibc.linger>.size))
        socket.close()
    }

    fileprivate func close() { socket.close() }
}
