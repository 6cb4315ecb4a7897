import Base

/// What a container asks for on one network.
public struct EndpointRequest: Sendable {
    let networkID: String
    let containerName: String
    let aliases: [String]
    let ipv4: String?
    let ipv6: String?
    let macAddress: String?
    /// Bytes a second in each direction; nil is no limit.
    let rate: Int64?
    /// The address it had when it ran last: given again when it is free, so that a restart does not move it.
    public var previousIPv4: String?

    public init(
        networkID: String, containerName: String, aliases: [String], ipv4: String?, ipv6: String?, macAddress: String?,
        rate: Int64?
    ) {
        self.networkID = networkID
        self.containerName = containerName
        self.aliases = aliases
        self.ipv4 = ipv4
        self.ipv6 = ipv6
        self.macAddress = macAddress
        self.rate = rate
    }
}

/// A container's place on a network.
public struct Endpoint: Sendable {
    public let endpointID: String
    public let networkID: String
    public let networkName: String
    /// Its name in the container, `eth0`.
    public let interface: String
    /// Of the interface: its name is `eth` and this.
    public var number: Int { Int(interface.dropFirst(3)) ?? 0 }
    public let macAddress: String
    public let ipv4: String
    public let prefixLength: Int
    public let gateway: String
    /// Empty on a network without IPv6.
    public var ipv6 = ""
    public var ipv6PrefixLength = 0
    public var ipv6Gateway = ""
    public internal(set) var dnsNames: [String]

    /// The same place for another container, under names of its own.
    func shared(names: [String]) -> Endpoint {
        Endpoint(
            endpointID: Identifier.make(), networkID: networkID, networkName: networkName, interface: interface,
            macAddress: macAddress, ipv4: ipv4, prefixLength: prefixLength, gateway: gateway, ipv6: ipv6,
            ipv6PrefixLength: ipv6PrefixLength, ipv6Gateway: ipv6Gateway, dnsNames: names)
    }

    /// Those it has an address of.
    var families: [IPFamily] { ipv6.isEmpty ? [.v4] : [.v4, .v6] }

    /// Its gateways that become default routes: of each family the first network with a way out has it.
    ///
    /// - Parameter earlier: the endpoints that were connected before.
    public func defaultGateways(after earlier: some Sequence<Endpoint>) -> [String] {
        let earlier = Array(earlier)
        return [
            earlier.allSatisfy(\.gateway.isEmpty) ? gateway : "",
            earlier.allSatisfy(\.ipv6Gateway.isEmpty) ? ipv6Gateway : "",
        ].filter { !$0.isEmpty }
    }

    /// The default routes that have to be made when one endpoint goes: those it had, through the next that has a way out.
    public static func newRoutes(
        before: [Endpoint], without gone: Endpoint
    ) -> [(interface: String, gateway: String)] {
        let lost = gone.defaultGateways(after: before.prefix { $0.endpointID != gone.endpointID })
        let left = before.filter { $0.endpointID != gone.endpointID }
        return [\Endpoint.gateway, \.ipv6Gateway].compactMap { gateway in
            guard lost.contains(gone[keyPath: gateway]), !gone[keyPath: gateway].isEmpty else { return nil }
            return left.first { !$0[keyPath: gateway].isEmpty }.map { ($0.interface, $0[keyPath: gateway]) }
        }
    }
}
