/// A port of a container that is reached through the host.
public struct PublishedPort: Sendable, Hashable {
    /// The host's address; empty for all.
    public var hostIP: String
    /// 0 asks for a free one.
    public var hostPort: UInt16
    public var containerPort: UInt16
    /// `tcp` or `udp`.
    public var `protocol`: String

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
}
