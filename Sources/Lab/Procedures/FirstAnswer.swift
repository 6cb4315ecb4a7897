import Base
import Glibc
import Kernel

/// Asks a web server until it answers.
enum FirstAnswer {
    /// Waits until a GET is answered with HTTP, whatever the status.
    ///
    /// - Returns: false when the deadline passes before.
    static func wait(for address: String, port: Int, until deadline: Deadline) throws -> Bool {
        guard !address.isEmpty else { throw SkalaError(.system, "it has no address: its network is off") }
        return try deadline.wait(every: 1_000_000) { answers(address, port) }
    }

    /// One attempt, of half a second at most: a server that is starting may take a connection and lose it.
    private static func answers(_ address: String, _ port: Int) -> Bool {
        guard let connection = connection(to: address, port: port) else { return false }
        defer { connection.close() }
        let request = Array("GET / HTTP/1.0\r\nHost: \(address)\r\n\r\n".utf8)
        guard send(connection.raw, request, request.count, Int32(MSG_NOSIGNAL)) == request.count else { return false }
        var answer = [UInt8](repeating: 0, count: 16)
        return recv(connection.raw, &answer, answer.count, 0) > 4 && answer.starts(with: Array("HTTP".utf8))
    }

    /// A connection of which each call takes half a second at most; nil when nobody takes it in that time.
    static func connection(to address: String, port: Int) -> OwnedDescriptor? {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { return nil }
        let connection = OwnedDescriptor(descriptor)
        // For connecting as well (socket(7)).
        var limit = timeval(tv_sec: 0, tv_usec: 500_000)
        setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        var target = sockaddr_in()
        target.sin_family = sa_family_t(AF_INET)
        target.sin_port = UInt16(port).bigEndian
        guard inet_pton(AF_INET, address, &target.sin_addr) == 1 else { return nil }
        let connected = withUnsafePointer(to: &target) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        return connected == 0 ? connection : nil
    }
}
