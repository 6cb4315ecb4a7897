import Base

/// A table of the balancer's rules.
enum BalancingTable: String, CaseIterable, Sendable {
    case ip, ip6, bridge

    init(_ family: IPFamily) { self = family == .v4 ? .ip : .ip6 }
}

/// The maps, chains and elements that one service has in the balancer's tables.
struct BalancingRules: Sendable, Equatable {
    struct Place: Hashable, Comparable, Sendable {
        let table: BalancingTable
        let name: String

        static func < (a: Place, b: Place) -> Bool { (a.table.rawValue, a.name) < (b.table.rawValue, b.name) }
    }

    struct Element: Hashable, Comparable, Sendable {
        let place: Place
        let key: String

        static func < (a: Element, b: Element) -> Bool { (a.place, a.key) < (b.place, b.key) }
    }

    /// Maps of a slot's number to an address.
    var slots: [Place: [IPAddress]] = [:]
    var chains: [Place: [String]] = [:]
    /// With what they lead to; empty in sets.
    var elements: [Element: String] = [:]

    /// The commands that lead from one state of a service to another; one transaction. Only what differs is written:
    /// a change of members is some elements, and a rule where their number is another.
    ///
    /// - Parameters:
    ///   - tables: the tables' name.
    ///   - shared: those that other services have too.
    static func change(
        from old: BalancingRules, to new: BalancingRules, tables: String, shared: (Element) -> Bool = { _ in false }
    ) -> String {
        var commands: [String] = []
        func full(_ place: Place) -> String { "\(place.table.rawValue) \(tables) \(place.name)" }
        for place in new.slots.keys.sorted() where old.slots[place] == nil {
            let address = place.table == .ip ? "ip daddr" : "ip6 daddr"
            commands.append("add map \(full(place)) { typeof numgen inc mod 2 : \(address); }")
        }
        for place in new.chains.keys.sorted() where old.chains[place] == nil {
            commands.append("add chain \(full(place))")
        }
        let gone = old.elements.filter { new.elements[$0.key] != $0.value && !shared($0.key) }
        commands += list("delete", gone.mapValues { _ in "" }, full)
        commands += list("add", new.elements.filter { old.elements[$0.key] != $0.value }, full)
        for (place, slots) in new.slots.sorted(by: { $0.key < $1.key }) {
            commands += change(of: full(place), from: old.slots[place] ?? [], to: slots)
        }
        for (place, rules) in new.chains.sorted(by: { $0.key < $1.key }) where old.chains[place] ?? [] != rules {
            if old.chains[place]?.isEmpty == false { commands.append("flush chain \(full(place))") }
            commands += rules.map { "add rule \(full(place)) \($0)" }
        }
        let goneChains = old.chains.keys.filter { new.chains[$0] == nil }.sorted()
        commands += goneChains.map { "flush chain \(full($0))" } + goneChains.map { "delete chain \(full($0))" }
        commands += old.slots.keys.filter { new.slots[$0] == nil }.sorted().map { "delete map \(full($0))" }
        return commands.map { $0 + "\n" }.joined()
    }

    /// Keeps slots beyond those the new rule counts, led to members that are there: a packet that met the old rule as the
    /// transaction came into force looks its number up in the new map.
    mutating func keepSlots(of old: BalancingRules) {
        for (place, slots) in slots where !slots.isEmpty {
            for slot in slots.count..<max(slots.count, old.slots[place]?.count ?? 0) {
                self.slots[place]?.append(slots[slot % slots.count])
            }
        }
    }

    private static func change(of map: String, from old: [IPAddress], to new: [IPAddress]) -> [String] {
        let gone = old.indices.filter { $0 >= new.count || old[$0] != new[$0] }.map { "\($0)" }
        let added = new.indices.filter { $0 >= old.count || old[$0] != new[$0] }.map { "\($0) : \(new[$0])" }
        return [("delete", gone), ("add", added)].filter { !$0.1.isEmpty }.map {
            "\($0.0) element \(map) { \($0.1.joined(separator: ", ")) }"
        }
    }

    /// One command for the elements of each set.
    private static func list(_ verb: String, _ elements: [Element: String], _ full: (Place) -> String) -> [String] {
        Dictionary(grouping: elements.sorted { $0.key < $1.key }, by: \.key.place).sorted { $0.key < $1.key }.map {
            let items = $0.value.map { $0.value.isEmpty ? $0.key.key : "\($0.key.key) : \($0.value)" }
            return "\(verb) element \(full($0.key)) { \(items.joined(separator: ", ")) }"
        }
    }

    /// The tables without any service.
    ///
    /// - Parameter keepsClients: also the table that leads what members send to others of their bridge through the host,
    ///   so that the client's address can be kept.
    static func emptyTables(_ name: String, keepsClients: Bool) -> String {
        let families = IPFamily.allCases.map { family in emptyTable(name, family, keepsClients: keepsClients) }
        return removal(name, keepsClients: keepsClients) + families.joined()
            + (keepsClients ? bridgeTable(name) : "")
    }

    /// Removes the tables; no error when there are none.
    static func removal(_ name: String, keepsClients: Bool) -> String {
        BalancingTable.allCases.filter { keepsClients || $0 != .bridge }.map {
            "table \($0.rawValue) \(name)\ndelete table \($0.rawValue) \(name)\n"
        }.joined()
    }

    private static func emptyTable(_ name: String, _ family: IPFamily, keepsClients: Bool) -> String {
        let (header, address) = family == .v4 ? ("ip", "ipv4_addr") : ("ip6", "ipv6_addr")
        // See Firewall: the kernel lets nothing from ::1 leave the loopback interface.
        let (notLoopback, loopback) = family == .v4 ? ("", "ip saddr != 127.0.0.0/8 ") : ("ip6 daddr != ::1 ", "")
        let redirect = family == .v4 ? "icmp type redirect" : "icmpv6 type nd-redirect"
        // A member that refuses a connection has died a moment ago, or is not yet ready. The first refusal is withheld: the
        // client tries again after a second (RFC 6298), and by then the connection is led to another member. The second is
        // told. The number 0 tells a refusal from other resets (RFC 9293, section 3.10.7.1).
        let refusal =
            "tcp flags & (fin | syn | rst | ack) == rst | ack tcp sequence 0 ct direction reply ct status dnat"
        let client = "\(header) daddr . tcp dport"
        // A service's own addresses come before the ports that containers publish, and are closed to them: an address
        // translated to itself counts as translated. Ports of services come after: a name server's questions first.
        return """
            table \(header) \(name) {
              set service_addresses { type \(address); }
              set reached_from { type ifname . \(address); }
              map services { type \(address) : verdict; }
              map ports { type inet_proto . inet_service : verdict; }
              map addressed_ports { type \(address) . inet_proto . inet_service : verdict; }
              set published { type inet_proto . inet_service; }
              set addressed_published { type \(address) . inet_proto . inet_service; }
              set members { type \(address); }
              set own { type \(address) . \(address); }
              set bridges { type ifname; }
              set refusals { type \(address) . inet_service; size 65536; flags dynamic,timeout; timeout 10s; }
              chain second_tries {
                type filter hook prerouting priority mangle;
                \(header) saddr @members \(refusal) \(client) != @refusals add @refusals { \(client) } drop
              }
              chain to_service {
                \(header) daddr vmap @services
                dnat \(header) to \(header) daddr
              }
              chain to_port {
                \(header) daddr . meta l4proto . th dport vmap @addressed_ports
                meta l4proto . th dport vmap @ports
              }
              chain services_in {
                type nat hook prerouting priority dstnat - 1;
                iifname . \(header) daddr @reached_from jump to_service
                \(header) daddr @service_addresses dnat \(header) to \(header) daddr
              }
              chain ports_in {
                type nat hook prerouting priority dstnat + 1;
                fib daddr type local jump to_port
              }
              chain services_here {
                type nat hook output priority -101;
                \(header) daddr @service_addresses jump to_service
              }
              chain ports_here {
                type nat hook output priority -99;
                \(notLoopback)fib daddr type local jump to_port
              }
              chain sources {
                type nat hook postrouting priority srcnat - 1;
                ct status dnat \(header) saddr . \(header) daddr @own masquerade
                \(keepsClients ? "ct status dnat \(loopback)\(header) daddr @members snat \(header) to \(header) saddr" : "")
              }
              chain refuse {
                meta l4proto tcp reject with tcp reset
                meta l4proto { udp, sctp } reject
              }
              chain refused {
                type filter hook input priority filter - 1;
                ct state established,related accept
                \(header) daddr @service_addresses jump refuse
                meta l4proto . th dport @published jump refuse
                \(header) daddr . meta l4proto . th dport @addressed_published jump refuse
              }
              chain redirects {
                type filter hook output priority filter;
                oifname @bridges \(redirect) drop
              }
            }

            """
    }

    /// What members send to others of their bridge, and those to them, takes the way through the host's IP layer: the
    /// answers of a translated connection would otherwise go straight to a client that knows the service's address only.
    /// Both directions of everything, so that the host's connection tracking never sees one half.
    private static func bridgeTable(_ name: String) -> String {
        let protocols = "meta pkttype other ip protocol { tcp, udp, sctp, icmp }"
        let transports = "meta pkttype other ip6 nexthdr { tcp, udp, sctp }"
        let errors = "meta pkttype other icmpv6 type { 1, 2, 3, 4 }"
        let matches =
            ["saddr", "daddr"].map { "\(protocols) ether daddr set ip \($0) map @ipv4_members" }
            + [transports, errors].flatMap { match in
                ["saddr", "daddr"].map { "\(match) ether daddr set ip6 \($0) map @ipv6_members" }
            }
        let rules = matches.map { "    \($0) meta pkttype set host accept\n" }.joined()
        return """
            table bridge \(name) {
              map ipv4_members { type ipv4_addr : ether_addr; }
              map ipv6_members { type ipv6_addr : ether_addr; }
              chain through_host {
                type filter hook prerouting priority dstnat;
            \(rules)  }
            }

            """
    }
}
