/// A port of a container that is to be reached through the host.
public struct PortRequest: Sendable, Hashable {
    /// The host's address; empty for all.
    public let hostIP: String
    /// The first of these that is free; nil is any.
    public let hostPorts: ClosedRange<UInt16>?
    public let containerPort: UInt16
    /// `tcp`, `udp` or `sctp`.
    public let `protocol`: String

    public init(hostIP: String, hostPorts: ClosedRange<UInt16>?, containerPort: UInt16, protocol: String) {
        self.hostIP = hostIP
        self.hostPorts = hostPorts
        self.containerPort = containerPort
        self.protocol = `protocol`
    }

    func isMet(by port: PublishedPort) -> Bool {
        port.hostIP == hostIP && port.containerPort == containerPort && port.protocol == `protocol`
            && hostPorts?.contains(port.hostPort) != false
    }

    func published(at port: UInt16) -> PublishedPort {
        PublishedPort(hostIP: hostIP, hostPort: port, containerPort: containerPort, protocol: `protocol`)
    }
}

/// A port of a container that is reached through the host.
public struct PublishedPort: Sendable, Hashable {
    /// The host's address; empty for all.
    public let hostIP: String
    public let hostPort: UInt16
    public let containerPort: UInt16
    /// `tcp`, `udp` or `sctp`.
    public let `protocol`: String

    public init(hostIP: String, hostPort: UInt16, containerPort: UInt16, protocol: String) {
        self.hostIP = hostIP
        self.hostPort = hostPort
        self.containerPort = containerPort
        self.protocol = `protocol`
    }

    /// Both would take the same packets.
    func collides(with other: PublishedPort) -> Bool {
        func isAny(_ address: String) -> Bool { address.isEmpty || address == "0.0.0.0" }
        return hostPort == other.hostPort && `protocol` == other.protocol
            && (hostIP == other.hostIP || isAny(hostIP) || isAny(other.hostIP))
    }

    /// Not of one of the host's addresses.
    var isOnEveryAddress: Bool { ["", "0.0.0.0", "::"].contains(hostIP) }

    func isPublished(_ family: IPFamily) -> Bool { hostIP.isEmpty || hostIP.contains(":") == (family == .v6) }
}
