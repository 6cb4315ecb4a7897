import Base
import Kernel

/// What a machine's guest is told of its card, beside its address.
public struct GuestSettings: Sendable {
    let hostname: String
    let nameServers: [String]
    let searchDomain: String?

    /// Behind a container's name our name servers know it, too: systemd-resolved asks no server for a name without a dot.
    public static let localDomain = "skala.internal"

    public init(hostname: String, nameServers: [String], searchDomain: String?) {
        self.hostname = hostname
        self.nameServers = nameServers
        self.searchDomain = searchDomain
    }

    var json: JSON {
        ["hostname": JSON(hostname), "nameServers": JSON(nameServers), "searchDomain": JSON(searchDomain)]
    }

    init(json: JSON) {
        hostname = json["hostname"].string ?? ""
        nameServers = json["nameServers"].strings ?? []
        searchDomain = json["searchDomain"].string
    }
}

extension NetworkManager {
    /// A year: the address stays a running machine's, whether a daemon is there to ask or not.
    private static let leaseSeconds: UInt32 = 365 * 86400

    /// Answers a machine that asks for its address by DHCP.
    ///
    /// - Throws: when the port is another server's on this bridge; the machine can have its address by other ways.
    public func lease(containerID: String, _ settings: GuestSettings) async throws {
        attached[containerID]?.guest = settings
        for endpoint in attached[containerID]?.endpoints ?? [] {
            guard let network = networks[endpoint.networkID], let subnet = network.subnet(.v4) else { continue }
            let prefix = try IPNetwork(parsing: subnet.subnet).prefix
            let host: UInt128 = prefix == 32 ? 0 : UInt128(UInt32.max) >> UInt128(prefix)
            let mask = UInt128(UInt32.max) & ~host
            let lease = DHCPLease(
                address: try IPAddress(parsing: endpoint.ipv4), mask: IPAddress(.v4, mask),
                gateway: endpoint.gateway.isEmpty ? nil : try IPAddress(parsing: endpoint.gateway),
                // Only those of IPv4 have a place in a lease of it.
                nameServers: settings.nameServers.compactMap { try? IPAddress(parsing: $0) }.filter {
                    $0.family == .v4
                },
                hostname: settings.hostname, domain: settings.searchDomain ?? "", mtu: 1500,
                seconds: NetworkManager.leaseSeconds)
            if addressServers[network.id] == nil {
                addressServers[network.id] = try DHCPServer(
                    bridge: network.bridge, address: try IPAddress(parsing: subnet.gateway))
            }
            addressServers[network.id]?.set(lease, for: try MACAddress.parse(endpoint.macAddress))
        }
    }

    /// Forgets what a card was told, and stops the server with the last one.
    func endLease(_ endpoint: Endpoint) {
        // Our own text: it parses.
        guard let server = addressServers[endpoint.networkID], let address = try? MACAddress.parse(endpoint.macAddress)
        else { return }
        if server.remove(address) {
            server.stop()
            addressServers[endpoint.networkID] = nil
        }
    }
}
