import Base

/// Hands out the addresses of one network, each to one owner, in order and round again, so that an address that was
/// just freed is used again last.
struct AddressPool {
    let network: IPNetwork
    private let range: ClosedRange<UInt128>
    private var used: Set<UInt128>
    private var next: UInt128

    /// - Parameters:
    ///   - network: with room for a gateway and a container.
    ///   - range: a part of the network to take addresses from.
    init(network: IPNetwork, range: IPNetwork? = nil, reserved: [IPAddress]) {
        precondition(network.prefix + 2 <= network.family.bits, "\(network) has no room for a gateway and a container")
        self.network = network
        let part = range ?? network
        self.range = part.base.value...part.last.value
        // The first address names the network; the last is IPv4's broadcast address.
        used = Set(reserved.map(\.value)).union([network.base.value, network.last.value])
        next = self.range.lowerBound
    }

    /// - Throws: `.exhausted` with Docker's text.
    mutating func take() throws(SkalaError) -> IPAddress {
        // Among one more candidate than addresses in use one is free, unless all are taken.
        for _ in 0...used.count {
            let candidate = next
            next = next == range.upperBound ? range.lowerBound : next + 1
            if used.insert(candidate).inserted { return IPAddress(network.family, candidate) }
        }
        let family = network.family == .v4 ? "IPv4" : "IPv6"
        throw SkalaError(.exhausted, "no available \(family) addresses on this network's address pools: \(network)")
    }

    /// - Throws: `.conflict` when it is taken, `.invalid` when it is not in the network.
    mutating func take(_ address: IPAddress) throws(SkalaError) {
        guard network.contains(address) else {
            throw SkalaError(.invalid, "invalid address \(address): it does not belong to \(network)")
        }
        guard used.insert(address.value).inserted else { throw SkalaError(.conflict, "Address already in use") }
    }

    mutating func free(_ address: IPAddress) { used.remove(address.value) }
}
