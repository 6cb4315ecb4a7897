import Base
import CLinux
import Glibc
import Kernel
import Synchronization
import CNftables

/// Answers names of containers on one network, at its gateway's address; everything else is asked of the host's servers.
///
/// One thread; at most `outstandingLimit` forwarded questions, each with a deadline.
final class NameServer: Sendable {
    private static let outstandingLimit = 512
    private static let deadline: Int64 = 4_000_000_000

    private struct Forwarded {
        let query: [UInt8]
        let client: sockaddr_in
        let server: sockaddr_in
        let expires: Int64
    }

    /// Where it listens, at the network's gateway. Not at 53, which a name server of the host may have for every address;
    /// the firewall leads questions here.
    let port: UInt16
    private let network: String
    private let names: NameTable
    private let socket: OwnedDescriptor
    private let upstream: OwnedDescriptor
    private let stopping: OwnedDescriptor
    private let thread = WorkerThreads(limit: 1)

    init(address: IPAddress, network: String, names: NameTable) throws {
        self.network = network
        self.names = names
        socket = try NameServer.open()
        upstream = try NameServer.open()
        stopping = OwnedDescriptor(try checkErrno(eventfd(0, Int32(EFD_CLOEXEC)), "eventfd"))
        var local = NameServer.address(address, port: 0)
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        let descriptor = socket.raw
        let status = withUnsafeMutablePointer(to: &local) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                let status = bind(descriptor, $0, size)
                return status == 0 ? getsockname(descriptor, $0, &size) : status
            }
        }
        try checkErrno(status, "bind", "the name server of \(address)")
        port = UInt16(bigEndian: local.sin_port)
        thread.submit { [self] in serve() }
    }

    func stop() { eventfd_write(stopping.raw, 1) }

    private static func open() throws(KernelError) -> OwnedDescriptor {
        let type = Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
        return OwnedDescriptor(try checkErrno(Glibc.socket(AF_INET, type, 0), "socket", "udp"))
    }

    private static func address(_ address: IPAddress, port: UInt16) -> sockaddr_in {
        var result = sockaddr_in()
        result.sin_family = sa_family_t(AF_INET)
        result.sin_port = port.bigEndian
        result.sin_addr.s_addr = UInt32(truncatingIfNeeded: address.value).bigEndian
        return result
    }

    private func serve() {
        var forwarded: [UInt16: Forwarded] = [:]
        while true {
            var polled = [socket, upstream, stopping].map { pollfd(fd: $0.raw, events: Int16(POLLIN), revents: 0) }
            poll(&polled, 3, forwarded.isEmpty ? -1 : 1000)
            if polled[2].revents != 0 { return }
            if polled[0].revents != 0, let (bytes, client) = receive(socket), let query = DNSQuery(bytes) {
                if let answer = answer(query, client) {
                    send(answer, to: client, from: socket)
                } else if !query.name.contains(".") {
                    // A container that is not there now, or never was; no server outside can know it. Asked outside, a
                    // client that looks it up in the middle of a restart would wait for an answer that may never come.
                    send(query.failure(3), to: client, from: socket)
                } else if let server = forwarded.count < NameServer.outstandingLimit ? NameServer.hostServer() : nil {
                    // No number that could be guessed: whoever guesses it could answer in the server's place.
                    var id = UInt16.random(in: .min ... .max)
                    while forwarded[id] != nil { id &+= 1 }
                    let address = NameServer.address(server, port: 53)
                    send([UInt8(id >> 8), UInt8(id & 255)] + bytes[2...], to: address, from: upstream)
                    let expires = SystemClock.monotonicNanoseconds() + NameServer.deadline
                    forwarded[id] = Forwarded(query: bytes, client: client, server: address, expires: expires)
                } else {
                    send(query.failure(2), to: client, from: socket)
                }
            }
            if polled[1].revents != 0, let (bytes, sender) = receive(upstream), bytes.count >= 12 {
                let id = UInt16(bytes[0]) << 8 | UInt16(bytes[1])
                if let question = forwarded[id], sender.sin_port == question.server.sin_port,
                    sender.sin_addr.s_addr == question.server.sin_addr.s_addr
                {
                    forwarded[id] = nil
                    send(Array(question.query[0..<2]) + bytes[2...], to: question.client, from: socket)
                }
            }
            let now = SystemClock.monotonicNanoseconds()
            for (id, question) in forwarded where question.expires <= now {
                forwarded[id] = nil
                // Told instead of left waiting: the client then asks another server, or gives up.
                if let query = DNSQuery(question.query) { send(query.failure(2), to: question.client, from: socket) }
            }
        }
    }

    /// The answer when the name is a container's; nil for all others.
    private func answer(_ query: DNSQuery, _ client: sockaddr_in) -> [UInt8]? {
        let asker = IPAddress(.v4, UInt128(UInt32(bigEndian: client.sin_addr.s_addr)))
        let (names, networks) = (names, names.networks(of: asker, on: network))
        if let address = query.reversedAddress,
            let name = networks.lazy.compactMap({ names.name(of: address, on: $0) }).first
        {
            return query.answer([DNSQuery.encode(name)])
        }
        guard let addresses = networks.lazy.compactMap({ names.addresses(of: query.name, on: $0) }).first else {
            return nil
        }
        let family: IPFamily
        switch query.type {
        case DNSQuery.typeA: family = .v4
        case DNSQuery.typeAAAA: family = .v6
        default: return query.answer([])
        }
        // Shuffled, so that several containers of one name share the load.
        return query.answer(addresses.filter { $0.family == family }.shuffled().map(\.bytes))
    }

    /// The first IPv4 name server of the host; read each time, since it changes with the host's network.
    private static func hostServer() -> IPAddress? {
        guard let bytes = try? FileContents.read("/etc/resolv.conf") else { return nil }
        for line in String(decoding: bytes, as: UTF8.self).split(separator: "\n") {
            let words = line.split(whereSeparator: \.isWhitespace)
            // An IPv6 server is passed over: the next one may be IPv4.
            if words.count >= 2, words[0] == "nameserver", let server = try? IPAddress(parsing: String(words[1])),
                server.family == .v4
            {
                return server
            }
        }
        return nil
    }

    private func receive(_ socket: OwnedDescriptor) -> ([UInt8], sockaddr_in)? {
        var buffer = [UInt8](repeating: 0, count: 4096)
        var client = sockaddr_in()
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        let count = withUnsafeMutablePointer(to: &client) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
                recvfrom(socket.raw, &buffer, 4096, Int32(MSG_DONTWAIT), address, &size)
            }
        }
        guard count > 0 else { return nil }
        return (Array(buffer[0..<count]), client)
    }

    private func send(_ bytes: [UInt8], to client: sockaddr_in, from socket: OwnedDescriptor) {
        var client = client
        _ = withUnsafePointer(to: &client) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                sendto(
                    socket.raw, bytes, bytes.count, Int32(MSG_DONTWAIT), $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
    }
}
