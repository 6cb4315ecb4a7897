import Base

/// A service as the balancer sees it: under which addresses, names and ports it is reached, and who does its work.
public struct BalancedService: Sendable {
    /// A network it is reached on.
    public struct Attachment: Sendable, Hashable {
        public let networkID: String
        /// By which containers of the network find it, at its addresses.
        public let names: [String]
        /// Its addresses there, every port of which leads to a member. Empty: the network's pool gives one, kept until the
        /// service is removed.
        public var ipv4: String
        /// Empty, too, on a network without IPv6.
        public var ipv6: String
        /// Without an address of its own its names lead to all members.
        public let hasAddress: Bool

        public init(networkID: String, names: [String], ipv4: String = "", ipv6: String = "", hasAddress: Bool = true) {
            self.networkID = networkID
            self.names = names
            self.ipv4 = ipv4
            self.ipv6 = ipv6
            self.hasAddress = hasAddress
        }

        /// Our own texts, or none.
        var addresses: [IPAddress] { [ipv4, ipv6].compactMap { try? IPAddress(parsing: $0) } }
    }

    public let id: String
    public var attachments: [Attachment]
    /// Ports of the host; those without a number get one.
    public var portRequests: [PortRequest]
    /// The network whose addresses published ports lead to; nil: the first attachment's that has a way out, else the
    /// default network.
    public var ingressNetworkID: String?
    public var algorithm: BalancingAlgorithm
    public var members: [BalancedMember]
    /// The ports as published.
    public internal(set) var ports: [PublishedPort] = []

    public init(
        id: String, attachments: [Attachment], ports: [PortRequest] = [], ingressNetworkID: String? = nil,
        algorithm: BalancingAlgorithm = .roundRobin, members: [BalancedMember] = []
    ) {
        self.id = id
        self.attachments = attachments
        self.portRequests = ports
        self.ingressNetworkID = ingressNetworkID
        self.algorithm = algorithm
        self.members = members
    }
}

extension BalancedService {
    var json: JSON {
        [
            "id": JSON(id), "algorithm": JSON(algorithm.rawValue), "ingress": JSON(ingressNetworkID),
            "ports": JSON(ports.map(\.json)), "members": JSON(members.map(\.json)),
            "requests": JSON(
                portRequests.map { request -> JSON in
                    [
                        "hostIP": JSON(request.hostIP), "containerPort": JSON(request.containerPort),
                        "protocol": JSON(request.protocol),
                        "first": request.hostPorts.map { JSON($0.lowerBound) } ?? .null,
                        "last": request.hostPorts.map { JSON($0.upperBound) } ?? .null,
                    ]
                }),
            "attachments": JSON(
                attachments.map { one -> JSON in
                    [
                        "network": JSON(one.networkID), "names": JSON(one.names), "ipv4": JSON(one.ipv4),
                        "ipv6": JSON(one.ipv6), "hasAddress": JSON(one.hasAddress),
                    ]
                }),
        ]
    }

    /// - Throws: `.invalid` for a record that is not ours.
    init(json: JSON) throws(SkalaError) {
        guard let id = json["id"].string, let algorithm = json["algorithm"].string.flatMap(BalancingAlgorithm.init)
        else { throw SkalaError(.invalid, "a balanced service's record has no id or algorithm") }
        var members: [BalancedMember] = []
        for member in json["members"].array ?? [] { members.append(try BalancedMember(json: member)) }
        let requests = (json["requests"].array ?? []).map { request in
            let first = request["first"].int.map { UInt16(clamping: $0) }
            let last = request["last"].int.map { UInt16(clamping: $0) }
            return PortRequest(
                hostIP: request["hostIP"].string ?? "",
                hostPorts: first.map { $0...max($0, last ?? $0) },
                containerPort: UInt16(clamping: request["containerPort"].int ?? 0),
                protocol: request["protocol"].string ?? "tcp")
        }
        let attachments = (json["attachments"].array ?? []).map { one in
            Attachment(
                networkID: one["network"].string ?? "", names: one["names"].strings ?? [],
                ipv4: one["ipv4"].string ?? "", ipv6: one["ipv6"].string ?? "",
                hasAddress: one["hasAddress"].bool ?? true)
        }
        self.init(
            id: id, attachments: attachments, ports: requests, ingressNetworkID: json["ingress"].string,
            algorithm: algorithm, members: members)
        ports = (json["ports"].array ?? []).map(PublishedPort.init(json:))
    }
}
