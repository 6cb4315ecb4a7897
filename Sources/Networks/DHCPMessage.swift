/// A DHCPv4 request and answers to it (RFC 2131, RFC 2132): just what machines need that have one fixed address each.
/// Pure; every read is bounded.
struct DHCPRequest: Sendable, Hashable {
    enum Kind: UInt8, Sendable {
        case discover = 1
        case request = 3
        case decline = 4
        case release = 7
        case inform = 8
    }

    /// Kinds of answers.
    enum Answer: UInt8, Sendable {
        case offer = 2
        case acknowledge = 5
        case refuse = 6
    }

    static let serverPort: UInt16 = 67
    static let clientPort: UInt16 = 68

    let kind: Kind
    let transaction: [UInt8]
    let flags: [UInt8]
    let seconds: [UInt8]
    let relay: [UInt8]
    /// Six bytes.
    let hardwareAddress: [UInt8]
    /// The address the client has already, nil when it has none.
    let clientAddress: IPAddress?
    /// The address it asks for.
    let requestedAddress: IPAddress?
    /// The server it has chosen.
    let server: IPAddress?

    private static let fixedSize = 240
    private static let cookie: [UInt8] = [99, 130, 83, 99]

    /// nil for what is no request of a client on Ethernet.
    init?(_ bytes: [UInt8]) {
        guard bytes.count >= DHCPRequest.fixedSize, bytes.count <= 1500, bytes[0] == 1, bytes[1] == 1, bytes[2] == 6,
            Array(bytes[236..<240]) == DHCPRequest.cookie
        else { return nil }
        transaction = Array(bytes[4..<8])
        seconds = Array(bytes[8..<10])
        flags = Array(bytes[10..<12])
        relay = Array(bytes[24..<28])
        hardwareAddress = Array(bytes[28..<34])
        // One that came over a relay is from another network than ours.
        guard relay == [0, 0, 0, 0] else { return nil }
        let current = DHCPRequest.address(bytes[12..<16])
        clientAddress = current.value == 0 ? nil : current
        var kind: Kind?
        var requested: IPAddress?
        var server: IPAddress?
        var at = DHCPRequest.fixedSize
        while at < bytes.count, bytes[at] != 255 {
            // Padding is the one option without a length.
            if bytes[at] == 0 {
                at += 1
                continue
            }
            guard at + 1 < bytes.count, at + 2 + Int(bytes[at + 1]) <= bytes.count else { return nil }
            let value = bytes[(at + 2)..<(at + 2 + Int(bytes[at + 1]))]
            switch (bytes[at], value.count) {
            case (53, 1): kind = value.first.flatMap(Kind.init(rawValue:))
            case (50, 4): requested = DHCPRequest.address(value)
            case (54, 4): server = DHCPRequest.address(value)
            default: break
            }
            at += 2 + value.count
        }
        guard let kind else { return nil }
        self.kind = kind
        requestedAddress = requested
        self.server = server
    }

    private static func address(_ bytes: ArraySlice<UInt8>) -> IPAddress {
        IPAddress(.v4, bytes.reduce(0) { $0 << 8 | UInt128($1) })
    }

    /// What is answered, given the client's lease; nil for nothing.
    ///
    /// - Parameter own: our address on the network.
    func answer(_ lease: DHCPLease, own: IPAddress) -> [UInt8]? {
        switch kind {
        case .discover: return message(.offer, lease, own: own)
        case .inform: return message(.acknowledge, lease, own: own)
        case .decline, .release: return nil
        case .request:
            // It has chosen another server's offer.
            if let server, server != own { return nil }
            let wanted = requestedAddress ?? clientAddress
            return message(wanted == lease.address ? .acknowledge : .refuse, lease, own: own)
        }
    }

    private func message(_ answer: Answer, _ lease: DHCPLease, own: IPAddress) -> [UInt8] {
        let isRefused = answer == .refuse
        let zero: [UInt8] = [0, 0, 0, 0]
        var bytes: [UInt8] = [2, 1, 6, 0] + transaction + [0, 0] + flags
        bytes += kind == .inform || kind == .request && !isRefused ? clientAddress?.bytes ?? zero : zero
        bytes += isRefused || kind == .inform ? zero : lease.address.bytes
        bytes += (isRefused ? zero : own.bytes) + relay + hardwareAddress
        // The rest of the hardware address, the server's name and the boot file.
        bytes += [UInt8](repeating: 0, count: 10 + 64 + 128) + DHCPRequest.cookie
        bytes += [53, 1, answer.rawValue, 54, 4] + own.bytes
        if !isRefused {
            if kind != .inform {
                let time = withUnsafeBytes(of: lease.seconds.bigEndian) { Array($0) }
                bytes += [51, 4] + time
            }
            bytes += [1, 4] + lease.mask.bytes
            if let gateway = lease.gateway { bytes += [3, 4] + gateway.bytes }
            let servers = lease.nameServers.prefix(8).flatMap(\.bytes)
            if !servers.isEmpty { bytes += [6, UInt8(servers.count)] + servers }
            let name = Array(lease.hostname.utf8.prefix(63))
            if !name.isEmpty { bytes += [12, UInt8(name.count)] + name }
            let domain = Array(lease.domain.utf8.prefix(63))
            if !domain.isEmpty { bytes += [15, UInt8(domain.count)] + domain }
            bytes += [26, 2, UInt8(lease.mtu >> 8), UInt8(lease.mtu & 255)]
        }
        bytes.append(255)
        // The least that old clients take (RFC 1542).
        return bytes + [UInt8](repeating: 0, count: max(0, 300 - bytes.count))
    }
}

/// What one machine is told.
struct DHCPLease: Sendable, Hashable {
    let address: IPAddress
    let mask: IPAddress
    let gateway: IPAddress?
    let nameServers: [IPAddress]
    let hostname: String
    /// Empty without.
    let domain: String
    let mtu: UInt16
    /// How long it may keep the address without asking again.
    let seconds: UInt32
}
