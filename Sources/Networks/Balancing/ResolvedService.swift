import Base

/// A service with all addresses known: what its rules are made of.
struct ResolvedService: Sendable {
    struct Front: Sendable {
        let networkID: String
        let bridge: String
        /// The bridge's own hardware address.
        let hardwareAddress: String
        /// The service's addresses; none when only ports lead here.
        let addresses: [IPAddress]
        /// Weight 0: it keeps its connections.
        let members: [SlotTable.Member]
    }

    let id: String
    let algorithm: BalancingAlgorithm
    let fronts: [Front]
    let ports: [PublishedPort]
    /// The network that `ports` lead to.
    let ingressNetworkID: String

    func rules(keepsClients: Bool) -> BalancingRules {
        var rules = BalancingRules()
        for front in fronts {
            for family in IPFamily.allCases { add(front, family, to: &rules) }
            guard keepsClients else { continue }
            for member in front.members {
                let map = member.address.family == .v4 ? "ipv4_members" : "ipv6_members"
                let place = BalancingRules.Place(table: .bridge, name: map)
                rules.elements[.init(place: place, key: "\(member.address)")] = front.hardwareAddress
            }
        }
        return rules
    }

    private func add(_ front: Front, _ family: IPFamily, to rules: inout BalancingRules) {
        let table = BalancingTable(family)
        func insert(_ set: String, _ key: String, _ value: String = "") {
            rules.elements[.init(place: .init(table: table, name: set), key: key)] = value
        }
        let members = front.members.filter { $0.address.family == family }
        let addresses = front.addresses.filter { $0.family == family }
        let name = "\(ResolvedService.word(id))_\(front.networkID.prefix(12))"
        let ports = front.networkID == ingressNetworkID ? self.ports.filter { $0.isPublished(family) } : []
        guard !members.isEmpty || !addresses.isEmpty || !ports.isEmpty else { return }
        insert("bridges", "\"\(front.bridge)\"")
        for member in members {
            insert("members", "\(member.address)")
            insert("own", "\(member.address) . \(member.address)")
        }
        let slots = SlotTable.slots(members, algorithm)
        let map = "slots_\(name)"
        rules.slots[.init(table: table, name: map)] = slots

        func translation(_ transport: String, port: UInt16?) -> String {
            let header = table.rawValue
            let number =
                switch algorithm {
                case .roundRobin: "numgen inc mod \(slots.count)"
                case .random: "numgen random mod \(slots.count)"
                // The seed is constant: clients stay where they are over restarts.
                case .sourceHash: "jhash \(header) saddr mod \(slots.count) seed 0x5ca1a000"
                }
            return "meta l4proto \(transport) dnat \(header) to \(number) map @\(map)" + (port.map { " : \($0)" } ?? "")
        }
        if !addresses.isEmpty {
            // Each with a count of its own: with one for all, a client that asks by UDP before each TCP connection would
            // always come to the same member.
            rules.chains[.init(table: table, name: "service_\(name)")] =
                slots.isEmpty ? [] : ["tcp", "udp", "sctp"].map { translation($0, port: nil) }
        }
        for address in addresses {
            insert("service_addresses", "\(address)")
            insert("reached_from", "\"\(front.bridge)\" . \(address)")
            insert("services", "\(address)", "jump service_\(name)")
        }
        for port in ports {
            let chain = "port_\(name)_\(port.protocol)_\(port.hostPort)_\(ResolvedService.word(port.hostIP))"
            rules.chains[.init(table: table, name: chain)] =
                slots.isEmpty ? [] : [translation(port.protocol, port: port.containerPort)]
            let key = "\(port.protocol) . \(port.hostPort)"
            if port.isOnEveryAddress {
                insert("ports", key, "jump \(chain)")
                insert("published", key)
            } else {
                insert("addressed_ports", "\(port.hostIP) . \(key)", "jump \(chain)")
                insert("addressed_published", "\(port.hostIP) . \(key)")
            }
        }
    }

    /// A text as a part of a name in nftables: letters and digits stay, others become their code.
    static func word(_ text: String) -> String {
        text.utf8.map { byte in
            let isPlain = (0x30...0x39).contains(byte) || (0x41...0x5A).contains(byte) || (0x61...0x7A).contains(byte)
            return isPlain ? String(UnicodeScalar(byte)) : "_" + Hexadecimal.encode([byte])
        }.joined()
    }
}
