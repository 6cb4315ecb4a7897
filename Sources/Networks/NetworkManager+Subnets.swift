import Base
import Kernel

/// Which addresses networks get.
extension NetworkManager {
    /// Docker's pools: 172.17.0.0/16 … 172.31.0.0/16, then 192.168.0.0/20 ….
    private static let pools =
        (17...31).map { network(172 << 24 | UInt128($0) << 16, 16) }
        + (0..<16).map { network(192 << 24 | 168 << 16 | UInt128($0) << 12, 20) }

    /// The addresses of the default network.
    ///
    /// - Parameter others: the networks there are already.
    /// - Throws: `.invalid` when the options' are no network.
    func defaultSubnet(besides others: [Network]) async throws -> IPNetwork {
        if let subnet = options.subnet { return try IPNetwork(parsing: subnet) }
        let (netlink, bridge) = (netlink, options.bridge)
        let link = try await threads.run { try netlink.links().first { $0.name == bridge } }
        let host = try await hostNetworks()
        if let own = host.first(where: { $0.index == link?.index }) { return own.network }
        let taken = try others.flatMap(\.subnets).map { try IPNetwork(parsing: $0.subnet) } + host.map(\.network)
        let subnet = try NetworkManager.choose(NetworkManager.pools, taken)
        return try IPNetwork(parsing: subnet.subnet)
    }

    /// - Throws: `.conflict` when another interface of the host has a network's subnet: what the host sends to its
    ///   containers would leave by that one.
    static func checkFree(_ network: Network, _ netlink: NetlinkSocket) throws {
        let links = try netlink.links()
        let own = links.first { $0.name == network.bridge }?.index
        let subnets = try network.subnets.map { try IPNetwork(parsing: $0.subnet) }
        for address in try netlink.addresses() where address.index != own {
            let taken = IPNetwork(containing: IPAddress(.v4, UInt128(address.address)), prefix: address.prefix)
            guard subnets.contains(taken) else { continue }
            let owner = links.first { $0.index == address.index }?.name ?? "another interface"
            throw SkalaError(
                .conflict, "cannot give the network \(network.name) the addresses \(taken): they are those of \(owner)")
        }
    }

    /// The IPv4 networks of all of the host's interfaces.
    private func hostNetworks() async throws -> [(index: UInt32, network: IPNetwork)] {
        let netlink = netlink
        return try await threads.run { try netlink.addresses() }.map {
            ($0.index, IPNetwork(containing: IPAddress(.v4, UInt128($0.address)), prefix: $0.prefix))
        }
    }

    func chooseSubnets(_ request: NetworkRequest) async throws -> [Subnet] {
        var taken = try networks.values.flatMap(\.subnets).map { try IPNetwork(parsing: $0.subnet) }
        for subnet in request.subnets {
            let network = try IPNetwork(parsing: subnet.subnet)
            guard !taken.contains(where: network.overlaps) else {
                throw SkalaError(.forbidden, "Pool overlaps with other one on this address space")
            }
        }
        taken += try await hostNetworks().map(\.network)
        var subnets = request.subnets
        if !subnets.contains(where: { !$0.subnet.contains(":") }) {
            subnets.insert(try NetworkManager.choose(NetworkManager.pools, taken), at: 0)
        }
        if request.wantsIPv6, !subnets.contains(where: { $0.subnet.contains(":") }) {
            // A unique local prefix (RFC 4193) is 40 random bits and a subnet of 16.
            let random = UInt128(UInt64.random(in: 0..<1 << 40))
            let prefix = UInt128(0xFD) << 120 | random << 80
            let candidates = (0..<256).map {
                IPNetwork(containing: IPAddress(.v6, prefix | UInt128($0) << 64), prefix: 64)
            }
            subnets.append(try NetworkManager.choose(candidates, taken))
        }
        return subnets
    }

    private static func network(_ value: UInt128, _ prefix: UInt8) -> IPNetwork {
        IPNetwork(containing: IPAddress(.v4, value), prefix: prefix)
    }

    private static func choose(_ candidates: [IPNetwork], _ taken: [IPNetwork]) throws(SkalaError) -> Subnet {
        guard let free = candidates.first(where: { candidate in !taken.contains(where: candidate.overlaps) }) else {
            throw SkalaError(.exhausted, "all predefined address pools have been fully subnetted")
        }
        return Subnet(subnet: free.description, gateway: free.first.description)
    }
}
