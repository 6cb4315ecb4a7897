import Base
import CLinux
import Glibc
import Kernel
import Synchronization

/// Answers the machines on one bridge that ask for their address by DHCP. Others, containers among them, get no answer: each
/// hardware address that is known has one fixed lease, so that nothing is kept, and nothing can run out.
///
/// One thread; at most `burst` answers a second, whoever asks.
final class DHCPServer: Sendable {
    private static let burst = 200

    private let own: IPAddress
    private let socket: OwnedDescriptor
    private let stopping: OwnedDescriptor
    private let leases = Mutex<[[UInt8]: DHCPLease]>([:])
    private let thread = WorkerThreads(limit: 1)

    /// - Throws: `EADDRINUSE` when another server has the port on this bridge.
    init(bridge: String, address: IPAddress) throws {
        own = address
        let type = Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
        socket = OwnedDescriptor(try checkErrno(Glibc.socket(AF_INET, type, 0), "socket", "udp"))
        stopping = OwnedDescriptor(try checkErrno(eventfd(0, Int32(EFD_CLOEXEC)), "eventfd"))
        // Only what comes from this bridge, and leaves there: servers on other interfaces do not get in the way.
        let name = Array(bridge.utf8)
        try checkErrno(setsockopt(socket.raw, SOL_SOCKET, SO_BINDTODEVICE, name, socklen_t(name.count)), "bind", bridge)
        var on: Int32 = 1
        for option in [SO_BROADCAST, SO_REUSEADDR] {
            try checkErrno(setsockopt(socket.raw, SOL_SOCKET, option, &on, socklen_t(4)), "setsockopt", bridge)
        }
        var local = DHCPServer.address(0, port: DHCPRequest.serverPort)
        let descriptor = socket.raw
        let status = withUnsafePointer(to: &local) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        try checkErrno(status, "bind", "DHCP on \(bridge)")
        thread.submit { [self] in serve() }
    }

    func stop() { eventfd_write(stopping.raw, 1) }

    func set(_ lease: DHCPLease, for hardwareAddress: [UInt8]) { leases.withLock { $0[hardwareAddress] = lease } }

    /// - Returns: whether none is left.
    func remove(_ hardwareAddress: [UInt8]) -> Bool {
        leases.withLock { leases in
            leases[hardwareAddress] = nil
            return leases.isEmpty
        }
    }

    private static func address(_ value: UInt32, port: UInt16) -> sockaddr_in {
        var result = sockaddr_in()
        result.sin_family = sa_family_t(AF_INET)
        result.sin_port = port.bigEndian
        result.sin_addr.s_addr = value.bigEndian
        return result
    }

    private func serve() {
        var second: Int64 = 0
        var answered = 0
        var buffer = [UInt8](repeating: 0, count: 2048)
        while true {
            var polled = [socket, stopping].map { pollfd(fd: $0.raw, events: Int16(POLLIN), revents: 0) }
            poll(&polled, 2, -1)
            if polled[1].revents != 0 { return }
            let count = recv(socket.raw, &buffer, buffer.count, Int32(MSG_DONTWAIT))
            guard count > 0, let request = DHCPRequest(Array(buffer[..<count])) else { continue }
            let now = SystemClock.monotonicNanoseconds() / 1_000_000_000
            if now != second { (second, answered) = (now, 0) }
            guard answered < DHCPServer.burst, let lease = leases.withLock({ $0[request.hardwareAddress] }),
                let answer = request.answer(lease, own: own)
            else { continue }
            answered += 1
            send(answer, to: request)
        }
    }

    /// One that has its address is answered there; others hear broadcasts only.
    private func send(_ answer: [UInt8], to request: DHCPRequest) {
        let known = request.kind == .inform ? request.clientAddress.map { UInt32(truncatingIfNeeded: $0.value) } : nil
        var client = DHCPServer.address(known ?? .max, port: DHCPRequest.clientPort)
        _ = withUnsafePointer(to: &client) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                sendto(
                    socket.raw, answer, answer.count, Int32(MSG_DONTWAIT), $0,
                    socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
    }
}
