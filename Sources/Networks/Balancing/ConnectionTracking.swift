import Base
import CLinux
import Glibc
import Kernel

/// The kernel's table of translated connections (its ctnetlink protocol; no tool needed).
///
/// A datagram's "connection" lasts as long as its client keeps sending, also when the member it was led to is gone.
enum ConnectionTracking {
    private static let netfilter: Int32 = 12
    private static let get: UInt16 = 1 << 8 | 1
    private static let delete: UInt16 = 1 << 8 | 2
    // linux/netfilter/nfnetlink_conntrack.h
    private static let original = 1
    private static let reply = 2
    private static let status = 3
    private static let identity = 12
    private static let zone = 18
    private static let filter = 25
    private static let addresses = 1
    private static let transport = 2
    private static let nested = 0x8000
    // linux/netfilter/nf_conntrack_common.h: IPS_SEEN_REPLY, in the last byte of a number in network byte order.
    private static let seenReply: UInt8 = 2

    /// Forgets the connections that are led to `addresses` by translation, for the kernel to choose anew with the next
    /// packet. Those made to the addresses themselves stay. Blocking.
    ///
    /// - Returns: how many.
    @discardableResult
    static func forget(to addresses: Set<IPAddress>) throws(KernelError) -> Int {
        guard !addresses.isEmpty else { return 0 }
        let socket = try NetlinkSocket(protocol: netfilter)
        var count = 0
        for address in addresses {
            let connections = try list(socket, address.family, answeredBy: address)
            for connection in connections where connection.source == address && connection.destination != address {
                if try delete(connection, socket) { count += 1 }
            }
        }
        return count
    }

    /// Forgets what was refused, or led nowhere, before a service had members: datagrams to its ports, and the connections
    /// to its ports and addresses that nobody answered. Who asks again from the same port within 10 s would be refused
    /// again; and many do who ask often.
    static func forgetRefused(toPorts ports: Set<UInt16>, addresses: Set<IPAddress>) throws(KernelError) {
        guard !ports.isEmpty || !addresses.isEmpty else { return }
        let socket = try NetlinkSocket(protocol: netfilter)
        for family in IPFamily.allCases {
            for connection in try list(socket, family, answeredBy: nil)
            where connection.source == connection.destination && (connection.isDatagram || connection.isUnanswered)
                && (ports.contains(connection.port) || addresses.contains(connection.destination))
            {
                _ = try delete(connection, socket)
            }
        }
    }

    private struct Connection {
        let family: IPFamily
        /// To whom it was made, and who answers.
        let destination: IPAddress
        let source: IPAddress
        let isDatagram: Bool
        /// A refusal is no answer.
        let isUnanswered: Bool
        let port: UInt16
        let attributes: [Int: [UInt8]]
    }

    /// `struct nfgenmsg`.
    private static func header(_ family: IPFamily) -> [UInt8] { [UInt8(family.socketFamily), 0, 0, 0] }

    private static func list(
        _ socket: NetlinkSocket, _ family: IPFamily, answeredBy address: IPAddress?
    ) throws(KernelError) -> [Connection] {
        var message = NetlinkMessage(type: get, flags: UInt16(NLM_F_DUMP), header: header(family))
        if let address {
            // The kernel passes over the others (Linux 5.8); an older one lists them too.
            message.add(reply | nested) { tuple in
                tuple.add(addresses | nested) { $0.add(family == .v4 ? 1 : 3, bytes: address.bytes) }
            }
            // CTA_FILTER_ORIG_FLAGS: none; CTA_FILTER_REPLY_FLAGS: CTA_FILTER_F_CTA_IP_SRC.
            message.add(filter | nested) {
                $0.add(1, number: 0)
                $0.add(2, number: 1)
            }
        }
        return try socket.dump(message, headerSize: 4, "list connections").compactMap { object -> Connection? in
            let tuples = [original, reply].compactMap { object.attributes[$0] }.map { NetlinkObject.parse($0[...]) }
            guard tuples.count == 2, let destination = self.address(tuples[0], family, isSource: false),
                let source = self.address(tuples[1], family, isSource: true)
            else { return nil }
            // CTA_PROTO_NUM, CTA_PROTO_DST_PORT (network byte order).
            let ports = tuples[0][transport].map { NetlinkObject.parse($0[...]) } ?? [:]
            let port = ports[3].flatMap { $0.count == 2 ? UInt16($0[0]) << 8 | UInt16($0[1]) : nil } ?? 0
            return Connection(
                family: family, destination: destination, source: source,
                isDatagram: ports[1]?.first == UInt8(IPPROTO_UDP),
                isUnanswered: object.attributes[status].map { ($0.last ?? 0) & seenReply == 0 } ?? false, port: port,
                attributes: object.attributes)
        }
    }

    private static func address(_ tuple: [Int: [UInt8]], _ family: IPFamily, isSource: Bool) -> IPAddress? {
        // CTA_IP_V4_SRC, V4_DST, V6_SRC, V6_DST.
        let type = (family == .v4 ? 1 : 3) + (isSource ? 0 : 1)
        guard let bytes = tuple[addresses].map({ NetlinkObject.parse($0[...]) })?[type],
            bytes.count == family.byteCount
        else { return nil }
        return IPAddress(family, bytes.reduce(0) { $0 << 8 | UInt128($1) })
    }

    /// - Returns: false when it has ended meanwhile.
    private static func delete(_ connection: Connection, _ socket: NetlinkSocket) throws(KernelError) -> Bool {
        var message = NetlinkMessage(type: delete, flags: 0, header: header(connection.family))
        message.add(original | nested, bytes: connection.attributes[original] ?? [])
        // Its number: another of the same addresses and ports is not meant.
        for attribute in [identity, zone] {
            if let value = connection.attributes[attribute] { message.add(attribute, bytes: value) }
        }
        do {
            try socket.request(message, "forget connection", "\(connection.source)")
            return true
        } catch {
            guard error.errno == ENOENT else { throw error }
            return false
        }
    }
}
