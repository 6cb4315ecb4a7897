public import Base
import Kernel

/// Addresses of a network.
public struct Subnet: Sendable {
    /// `172.18.0.0/16`.
    public let subnet: String
    public let gateway: String
    public var ipRange: String?
    public var auxiliary: [String: String] = [:]
}

/// A network containers are connected to.
public struct Network: Sendable {
    public let id: String
    public let name: String
    /// `bridge`, `overlay`, `host` or `null`.
    public let driver: String
    public let options: [String: String]
    public let labels: [String: String]
    public let subnets: [Subnet]
    public let created: Timestamp
    /// Without a way out.
    public let isInternal: Bool
    public let isAttachable: Bool
    public let enableIPv4: Bool
    public let enableIPv6: Bool
    /// The interface on the host; empty without one.
    public let bridge: String

    /// Whether it has a bridge. On one node that is what an overlay network is, too.
    public var isBridged: Bool { driver == "bridge" || driver == "overlay" }

    /// The document in the store.
    public var json: JSON {
        [
            "id": JSON(id), "name": JSON(name), "driver": JSON(driver), "options": JSON(options),
            "labels": JSON(labels), "created": JSON(created.nanoseconds), "internal": JSON(isInternal),
            "attachable": JSON(isAttachable), "bridge": JSON(bridge),
            "subnets": JSON(
                subnets.map { subnet -> JSON in
                    [
                        "subnet": JSON(subnet.subnet), "gateway": JSON(subnet.gateway), "range": JSON(subnet.ipRange),
                        "auxiliary": JSON(subnet.auxiliary),
                    ]
                }),
        ]
    }

    public init(json: JSON) throws(SkalaError) {
        guard let id = json["id"].string, let name = json["name"].string else {
            throw SkalaError(.invalid, "a network's record in the store has no id or name")
        }
        let subnets = (json["subnets"].array ?? []).map { subnet in
            Subnet(
                subnet: subnet["subnet"].string ?? "", gateway: subnet["gateway"].string ?? "",
                ipRange: subnet["range"].string, auxiliary: subnet["auxiliary"].stringDictionary ?? [:])
        }
        self.init(
            id: id, name: name, driver: json["driver"].string ?? "bridge",
            options: json["options"].stringDictionary ?? [:], labels: json["labels"].stringDictionary ?? [:],
            subnets: subnets, created: Timestamp(nanoseconds: json["created"].int ?? 0),
            isInternal: json["internal"].bool ?? false, isAttachable: json["attachable"].bool ?? false,
            bridge: json["bridge"].string ?? "")
    }

    /// The subnet of a family, nil when the network has none.
    func subnet(_ family: IPFamily) -> Subnet? {
        subnets.first { $0.subnet.contains(":") == (family == .v6) }
    }

    init(
        id: String, name: String, driver: String, options: [String: String] = [:], labels: [String: String] = [:],
        subnets: [Subnet] = [], created: Timestamp, isInternal: Bool = false, isAttachable: Bool = false,
        bridge: String = ""
    ) {
        self.id = id
        self.name = name
        self.driver = driver
        self.options = options
        self.labels = labels
        self.subnets = subnets
        self.created = created
        self.isInternal = isInternal
        self.isAttachable = isAttachable
        self.bridge = bridge
        enableIPv4 = true
        enableIPv6 = subnets.contains { $0.subnet.contains(":") }
    }
}

/// What a user asks for in `POST /networks/create`.
public struct NetworkRequest: Sendable {
    let name: String
    let driver: String
    let options: [String: String]
    let labels: [String: String]
    let isInternal: Bool
    let isAttachable: Bool
    let wantsIPv6: Bool
    /// At most one of each family; a family that is missing is chosen.
    let subnets: [Subnet]

    /// - Throws: `.invalid` for what is not supported or malformed.
    public init(json: JSON) throws(SkalaError) {
        name = json["Name"].string ?? ""
        let isValid =
            name.utf8.count >= 2 && name.first.map { !"_.-".contains($0) } ?? false
            && name.allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber || "_.-".contains($0)) }
        guard isValid else {
            throw SkalaError(.invalid, "invalid network name (\(name)), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed")
        }
        driver = json["Driver"].string.flatMap { $0.isEmpty ? nil : $0 } ?? "bridge"
        options = json["Options"].stringDictionary ?? [:]
        labels = json["Labels"].stringDictionary ?? [:]
        isInternal = json["Internal"].bool ?? false
        isAttachable = json["Attachable"].bool ?? false
        let scope = driver == "overlay" ? "swarm" : "local"
        if let given = json["Scope"].string, !["", scope].contains(given) {
            throw SkalaError(.invalid, "networks of the driver \(driver) have the scope \(scope), not '\(given)'")
        }
        guard json["EnableIPv4"].bool != false else {
            throw SkalaError(.invalid, "a network without IPv4 is not supported")
        }
        if let driver = json["IPAM"]["Driver"].string, !["", "default"].contains(driver) {
            throw SkalaError(.notFound, "IPAM driver \(driver) not found")
        }
        var subnets: [Subnet] = []
        for plan in json["IPAM"]["Config"].array ?? [] {
            if (plan["Subnet"].string ?? "").isEmpty {
                // An empty plan asks for nothing; without a subnet nothing else means anything.
                guard plan.object?.members.allSatisfy({ [.null, "", [:]].contains($0.value) }) ?? true else {
                    throw SkalaError(.invalid, "an address plan needs a subnet: \(plan.text)")
                }
                continue
            }
            subnets.append(try NetworkRequest.subnet(plan))
        }
        let versions = subnets.map { $0.subnet.contains(":") }
        guard Set(versions).count == versions.count else {
            throw SkalaError(.invalid, "a network has at most one subnet of each of IPv4 and IPv6")
        }
        wantsIPv6 = json["EnableIPv6"].bool ?? versions.contains(true)
        guard wantsIPv6 || !versions.contains(true) else {
            throw SkalaError(.invalid, "an IPv6 subnet needs IPv6 enabled on the network (--ipv6)")
        }
        self.subnets = subnets
    }

    private static func subnet(_ plan: JSON) throws(SkalaError) -> Subnet {
        let network = try IPNetwork(parsing: plan["Subnet"].string ?? "")
        guard network.prefix + 2 <= network.family.bits else {
            throw SkalaError(.invalid, "subnet \(network) is too small: it needs room for a gateway and a container")
        }
        let text = plan["Gateway"].string ?? ""
        let gateway = text.isEmpty ? network.first : try IPAddress(parsing: text)
        guard network.contains(gateway), gateway != network.base, gateway != network.last else {
            throw SkalaError(.invalid, "gateway \(gateway) does not belong to subnet \(network)")
        }
        if let range = plan["IPRange"].string, !range.isEmpty {
            let part = try IPNetwork(parsing: range)
            guard network.contains(part.base), network.contains(part.last) else {
                throw SkalaError(.invalid, "IP range \(part) does not belong to subnet \(network)")
            }
        }
        let auxiliary = plan["AuxiliaryAddresses"].stringDictionary ?? [:]
        for (name, text) in auxiliary.sorted(by: { $0.key < $1.key }) {
            guard network.contains(try IPAddress(parsing: text)) else {
                throw SkalaError(.invalid, "auxiliary address \(name)=\(text) does not belong to subnet \(network)")
            }
        }
        return Subnet(
            subnet: network.description, gateway: gateway.description,
            ipRange: plan["IPRange"].string.flatMap { $0.isEmpty ? nil : $0 },
            auxiliary: auxiliary)
    }
}
