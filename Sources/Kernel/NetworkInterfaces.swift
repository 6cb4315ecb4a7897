import CLinux
import Glibc

/// A network interface as the kernel lists it.
public struct NetworkInterface: Sendable {
    public let index: UInt32
    public let name: String
    /// `bridge`, `veth`, …; empty for physical ones.
    public let kind: String
    /// Its hardware address, 6 bytes; empty without one.
    public let address: [UInt8]
    /// The one its device was made with, which stays when `address` is changed; empty without one.
    public let permanentAddress: [UInt8]
    public let isUp: Bool
    /// Its counters; see `rtnl_link_stats64`.
    public let counters: InterfaceCounters
}

/// Traffic of an interface since it was made, in bytes and packets.
public struct InterfaceCounters: Sendable {
    public var interface: String
    public var receivedPackets: Int64 = 0, sentPackets: Int64 = 0
    public var receivedBytes: Int64 = 0, sentBytes: Int64 = 0
    public var receivedErrors: Int64 = 0, sentErrors: Int64 = 0
    public var receivedDropped: Int64 = 0, sentDropped: Int64 = 0

    /// The same at the other end of the wire: what one sends is what the other receives.
    public func seen(from other: String) -> InterfaceCounters {
        InterfaceCounters(
            interface: other, receivedPackets: sentPackets, sentPackets: receivedPackets, receivedBytes: sentBytes,
            sentBytes: receivedBytes, receivedErrors: sentErrors, sentErrors: receivedErrors,
            receivedDropped: sentDropped, sentDropped: receivedDropped)
    }
}

/// Changes and lists interfaces, addresses and routes of the network namespace the socket was opened in.
extension NetlinkSocket {
    /// `struct ifinfomsg`.
    private static func linkHeader(index: UInt32 = 0, flags: UInt32 = 0, change: UInt32 = 0) -> [UInt8] {
        [0, 0, 0, 0] + bytes(index) + bytes(flags) + bytes(change)
    }

    private static func bytes<Number: FixedWidthInteger>(_ number: Number) -> [UInt8] {
        withUnsafeBytes(of: number) { Array($0) }
    }

    /// IFLA_PERM_ADDRESS of linux/if_link.h (Linux 5.6).
    private static let permanentAddress = 54

    private static let create = UInt16(NLM_F_CREATE) | UInt16(NLM_F_EXCL)

    /// - Parameter address: its hardware address, 6 bytes. Without one of its own a bridge takes the lowest of its ports',
    ///   and changes it when ports come and go: neighbours that know the old one lose their gateway for seconds.
    public func createBridge(_ name: String, address: [UInt8]) throws(KernelError) {
        var message = NetlinkMessage(
            type: UInt16(RTM_NEWLINK), flags: NetlinkSocket.create, header: NetlinkSocket.linkHeader())
        message.add(Int(IFLA_IFNAME), string: name)
        message.add(Int(IFLA_ADDRESS), bytes: address)
        message.add(Int(IFLA_LINKINFO)) { $0.add(Int(IFLA_INFO_KIND), string: "bridge") }
        try request(message, "create bridge", name)
    }

    /// Makes a pair of connected interfaces: one here, on the bridge, and up; its peer in another namespace.
    ///
    /// One message, so that the peer is never seen here under its name.
    public func createVeth(
        _ name: String, bridge: UInt32, peer: String, peerAddress: [UInt8], namespace: Int32, mtu: UInt32
    ) throws(KernelError) {
        let up = UInt32(IFF_UP)
        var message = NetlinkMessage(
            type: UInt16(RTM_NEWLINK), flags: NetlinkSocket.create,
            header: NetlinkSocket.linkHeader(flags: up, change: up))
        message.add(Int(IFLA_IFNAME), string: name)
        message.add(Int(IFLA_MTU), number: mtu)
        message.add(Int(IFLA_MASTER), number: bridge)
        message.add(Int(IFLA_LINKINFO)) { information in
            information.add(Int(IFLA_INFO_KIND), string: "veth")
            information.add(Int(IFLA_INFO_DATA)) { data in
                // VETH_INFO_PEER
                data.add(1) { peerMessage in
                    peerMessage.append(raw: NetlinkSocket.linkHeader())
                    peerMessage.add(Int(IFLA_IFNAME), string: peer)
                    peerMessage.add(Int(IFLA_MTU), number: mtu)
                    peerMessage.add(Int(IFLA_ADDRESS), bytes: peerAddress)
                    peerMessage.add(Int(IFLA_NET_NS_FD), number: UInt32(namespace))
                }
            }
        }
        try request(message, "create veth", name)
    }

    /// Makes an interface a port of a bridge, and sets it up.
    public func plug(_ name: String, into bridge: UInt32) throws(KernelError) {
        let up = UInt32(IFF_UP)
        var message = NetlinkMessage(
            type: UInt16(RTM_NEWLINK), flags: 0, header: NetlinkSocket.linkHeader(flags: up, change: up))
        message.add(Int(IFLA_IFNAME), string: name)
        message.add(Int(IFLA_MASTER), number: bridge)
        try request(message, "plug in", name)
    }

    /// Lets a bridge send frames back through the port they came from.
    public func reflect(_ index: UInt32) throws(KernelError) {
        // struct ifinfomsg of AF_BRIDGE; IFLA_BRPORT_MODE in a nested IFLA_PROTINFO of linux/if_link.h.
        var message = NetlinkMessage(
            type: UInt16(RTM_SETLINK), flags: 0,
            header: [7, 0, 0, 0] + NetlinkSocket.bytes(index) + NetlinkSocket.bytes(UInt64(0)))
        message.add(Int(IFLA_PROTINFO) | 0x8000) { $0.add(4, bytes: [1]) }
        try request(message, "reflect", "interface \(index)")
    }

    public func deleteLink(_ name: String) throws(KernelError) {
        var message = NetlinkMessage(type: UInt16(RTM_DELLINK), flags: 0, header: NetlinkSocket.linkHeader())
        message.add(Int(IFLA_IFNAME), string: name)
        try request(message, "delete link", name)
    }

    public func setUp(_ name: String) throws(KernelError) {
        let up = UInt32(IFF_UP)
        var message = NetlinkMessage(
            type: UInt16(RTM_NEWLINK), flags: 0, header: NetlinkSocket.linkHeader(flags: up, change: up))
        message.add(Int(IFLA_IFNAME), string: name)
        try request(message, "set up", name)
    }

    /// Changes an interface's name and hardware address, and sets it up. Its name can be changed while it is down, so that
    /// it goes down for that when it is up.
    public func change(_ link: NetworkInterface, name: String, address: [UInt8]) throws(KernelError) {
        let renames = link.name != name
        let up = UInt32(IFF_UP)
        if renames, link.isUp {
            try request(
                NetlinkMessage(
                    type: UInt16(RTM_NEWLINK), flags: 0, header: NetlinkSocket.linkHeader(index: link.index, change: up)
                ),
                "set down", link.name)
        }
        var message = NetlinkMessage(
            type: UInt16(RTM_NEWLINK), flags: 0,
            header: NetlinkSocket.linkHeader(index: link.index, flags: up, change: up))
        if renames { message.add(Int(IFLA_IFNAME), string: name) }
        message.add(Int(IFLA_ADDRESS), bytes: address)
        try request(message, "change", name)
    }

    /// Adds an address, 4 or 16 bytes in network order.
    ///
    /// - Parameter isPreferred: false for one that is not to be taken as the source of what the host sends (IPv6).
    public func addAddress(
        _ address: [UInt8], prefix: UInt8, to index: UInt32, isPreferred: Bool = true
    ) throws(KernelError) {
        let family = UInt8(address.count == 4 ? AF_INET : AF_INET6)
        // struct ifaddrmsg; IFA_F_NODAD: an address we assign is free, and usable at once.
        let flags: UInt8 = address.count == 4 ? 0 : 0x02
        var message = NetlinkMessage(
            type: UInt16(RTM_NEWADDR), flags: NetlinkSocket.create,
            header: [family, prefix, flags, 0] + NetlinkSocket.bytes(index))
        message.add(Int(IFA_LOCAL), bytes: address)
        message.add(Int(IFA_ADDRESS), bytes: address)
        if !isPreferred {
            // struct ifa_cacheinfo: preferred for no time, valid for ever.
            message.add(
                Int(IFA_CACHEINFO),
                bytes: NetlinkSocket.bytes(UInt32(0)) + NetlinkSocket.bytes(UInt32.max)
                    + NetlinkSocket.bytes(UInt64(0)))
        }
        try request(message, "add address", "interface \(index)")
    }

    /// Sets an interface down and renames it: its name is another's.
    public func setAside(_ link: NetworkInterface, as name: String) throws(KernelError) {
        var message = NetlinkMessage(
            type: UInt16(RTM_NEWLINK), flags: 0,
            header: NetlinkSocket.linkHeader(index: link.index, change: UInt32(IFF_UP)))
        message.add(Int(IFLA_IFNAME), string: name)
        try request(message, "rename", link.name)
    }

    /// Removes an IPv4 address and the routes that go with it.
    public func removeAddress(_ address: UInt32, prefix: UInt8, from index: UInt32) throws(KernelError) {
        try removeAddress(NetlinkSocket.bytes(address.bigEndian), prefix: prefix, from: index)
    }

    /// Removes an address, 4 or 16 bytes in network order, and the routes that go with it.
    public func removeAddress(_ address: [UInt8], prefix: UInt8, from index: UInt32) throws(KernelError) {
        let family = UInt8(address.count == 4 ? AF_INET : AF_INET6)
        var message = NetlinkMessage(
            type: UInt16(RTM_DELADDR), flags: 0, header: [family, prefix, 0, 0] + NetlinkSocket.bytes(index))
        message.add(Int(IFA_LOCAL), bytes: address)
        try request(message, "remove address", "interface \(index)")
    }

    /// Adds the default route.
    public func addDefaultRoute(gateway: [UInt8], index: UInt32) throws(KernelError) {
        let family = UInt8(gateway.count == 4 ? AF_INET : AF_INET6)
        // struct rtmsg: main table (254), protocol static (4), scope universe, type unicast (1).
        var message = NetlinkMessage(
            type: UInt16(RTM_NEWROUTE), flags: NetlinkSocket.create,
            header: [family, 0, 0, 0, 254, 4, 0, 1, 0, 0, 0, 0])
        message.add(Int(RTA_GATEWAY.rawValue), bytes: gateway)
        message.add(Int(RTA_OIF.rawValue), number: index)
        try request(message, "add route", "default")
    }

    /// Limits what an interface sends, with a token bucket (tc-tbf(8)) that holds a tenth of a second.
    public func limitRate(of index: UInt32, bytesPerSecond rate: Int64) throws(KernelError) {
        // struct tcmsg: no handle, parent TC_H_ROOT.
        var message = NetlinkMessage(
            type: UInt16(RTM_NEWQDISC), flags: UInt16(NLM_F_CREATE) | UInt16(NLM_F_REPLACE),
            header: [0, 0, 0, 0] + NetlinkSocket.bytes(index) + NetlinkSocket.bytes(UInt32(0))
                + NetlinkSocket.bytes(UInt32.max) + NetlinkSocket.bytes(UInt32(0)))
        // At least a segment as the network card takes it, so that large ones are not dropped.
        let burst = UInt32(clamping: max(64 * 1024 + 1, rate / 10))
        message.add(Int(TCA_KIND), string: "tbf")
        message.add(Int(TCA_OPTIONS)) { options in
            // struct tc_tbf_qopt: rate, peak rate (each a tc_ratespec), limit, buffer, mtu. Link layer 1: Ethernet.
            let specification: [UInt8] = [0, 1, 0, 0, 0, 0, 0, 0] + NetlinkSocket.bytes(UInt32(clamping: rate))
            let none = [UInt8](repeating: 0, count: 12)
            // TCA_TBF_PARMS, TCA_TBF_RATE64 and TCA_TBF_BURST of linux/pkt_sched.h.
            options.add(
                1,
                bytes: specification + none + NetlinkSocket.bytes(burst * 2) + NetlinkSocket.bytes(burst)
                    + NetlinkSocket.bytes(UInt32(0)))
            if rate > Int64(UInt32.max) { options.add(4, bytes: NetlinkSocket.bytes(rate)) }
            options.add(6, number: burst)
        }
        try request(message, "limit the rate of", "interface \(index)")
    }

    public func links() throws(KernelError) -> [NetworkInterface] {
        let message = NetlinkMessage(
            type: UInt16(RTM_GETLINK), flags: UInt16(NLM_F_DUMP), header: NetlinkSocket.linkHeader())
        return try dump(message, headerSize: 16, "list links").compactMap { link -> NetworkInterface? in
            guard let name = link.string(Int(IFLA_IFNAME)), let index = NetlinkObject.number(link.header, at: 4),
                let flags = NetlinkObject.number(link.header, at: 8)
            else { return nil }
            let information = link.attributes[Int(IFLA_LINKINFO)].map { NetlinkObject.parse($0[...]) } ?? [:]
            let kind = information[Int(IFLA_INFO_KIND)].map { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
            return NetworkInterface(
                index: index, name: name, kind: kind ?? "", address: link.attributes[Int(IFLA_ADDRESS)] ?? [],
                permanentAddress: link.attributes[NetlinkSocket.permanentAddress] ?? [],
                isUp: flags & UInt32(IFF_UP) != 0,
                counters: NetlinkSocket.counters(name, link.attributes[Int(IFLA_STATS64)] ?? []))
        }
    }

    /// The fields of `struct rtnl_link_stats64`, 8 bytes each, in its order.
    private static func counters(_ name: String, _ statistics: [UInt8]) -> InterfaceCounters {
        func field(_ index: Int) -> Int64 {
            guard (index + 1) * 8 <= statistics.count else { return 0 }
            let value = statistics.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: index * 8, as: UInt64.self) }
            return Int64(clamping: value)
        }
        return InterfaceCounters(
            interface: name, receivedPackets: field(0), sentPackets: field(1), receivedBytes: field(2),
            sentBytes: field(3), receivedErrors: field(4), sentErrors: field(5), receivedDropped: field(6),
            sentDropped: field(7))
    }

    /// The addresses of an interface, of both families, in network order.
    public func addresses(of index: UInt32) throws(KernelError) -> [(address: [UInt8], prefix: UInt8)] {
        let message = NetlinkMessage(
            type: UInt16(RTM_GETADDR), flags: UInt16(NLM_F_DUMP), header: [0, 0, 0, 0, 0, 0, 0, 0])
        return try dump(message, headerSize: 8, "list addresses").compactMap { object -> ([UInt8], UInt8)? in
            guard NetlinkObject.number(object.header, at: 4) == index,
                let address = object.attributes[Int(IFA_LOCAL)] ?? object.attributes[Int(IFA_ADDRESS)]
            else { return nil }
            return (address, object.header[1])
        }
    }

    /// The IPv4 networks of all interfaces: address (host order) and prefix length.
    public func addresses() throws(KernelError) -> [(index: UInt32, address: UInt32, prefix: UInt8)] {
        let message = NetlinkMessage(
            type: UInt16(RTM_GETADDR), flags: UInt16(NLM_F_DUMP), header: [UInt8(AF_INET), 0, 0, 0, 0, 0, 0, 0])
        return try dump(message, headerSize: 8, "list addresses").compactMap { object -> (UInt32, UInt32, UInt8)? in
            guard let address = object.number(Int(IFA_ADDRESS)), let index = NetlinkObject.number(object.header, at: 4)
            else { return nil }
            return (index, UInt32(bigEndian: address), object.header[1])
        }
    }
}
