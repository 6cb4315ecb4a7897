import Base
import CLinux
import CNftables
import Glibc
import Kernel

/// What the rules need to know of a network.
struct FirewallNetwork: Sendable {
    let bridge: String
    let subnet: String
    /// nil without IPv6.
    let ipv6Subnet: String?
    let isInternal: Bool
    /// Where the network's name server listens, in nftables' words; nil without one.
    let nameServer: (address: String, port: UInt16)?
}

extension IPFamily {
    static let allCases: [IPFamily] = [.v4, .v6]
    /// nftables' name of the family, of its tables and of its header.
    fileprivate var table: String { self == .v4 ? "ip" : "ip6" }
}

/// The nftables rules of one engine, in tables of its own (one for IPv4, one for IPv6): address translation for published ports, masquerading, and
/// the walls between networks.
///
/// Published ports are elements of two maps, so that publishing one is one map update however many there are, and no
/// process stands in the way of a packet.
final class Firewall: Sendable {
    private let thread = WorkerThreads(limit: 1)
    /// Wait for the kernel, so that the next transaction does not.
    private let closing = WorkerThreads(limit: 2)
    let table: String
    /// The name of the thread that changes rules, by which `FirewallWatch` knows our changes.
    let author: String

    /// - Parameter tag: tells engines on one host apart.
    init(tag: String) {
        table = "skala_\(tag)"
        author = "skala-nft-\(tag)"
    }

    /// Makes the tables anew, in one transaction.
    ///
    /// - Parameter ports: with the endpoint each leads to.
    func reset(networks: [FirewallNetwork] = [], ports: [(port: PublishedPort, endpoint: Endpoint)] = []) async throws {
        let tables = IPFamily.allCases.map { emptyTable($0) + "\n" }
        let rules = IPFamily.allCases.map { self.rules(networks, $0) }
        let elements = ports.flatMap { self.elements("add", $0.port, $0.endpoint) }.map { $0 + "\n" }
        try await run((tables + rules + elements).joined())
    }

    private func emptyTable(_ family: IPFamily) -> String {
        let name = "\(family.table) \(table)"
        let address = family == .v4 ? "ipv4_addr" : "ipv6_addr"
        let header = family.table
        // IPv6 has no route_localnet: packets from ::1 cannot leave the loopback interface, so they stay refused, and
        // a client goes on with 127.0.0.1.
        let notLoopback = family == .v4 ? "" : "ip6 daddr != ::1 "
        return """
            table \(name)
            delete table \(name)
            table \(name) {
              map ports { type inet_proto . inet_service : \(address) . inet_service; }
              map addressed_ports { type \(address) . inet_proto . inet_service : \(address) . inet_service; }
              chain publish {
                dnat \(header) to \(header) daddr . meta l4proto . th dport map @addressed_ports
                dnat \(header) to meta l4proto . th dport map @ports
              }
              chain networks_in { }
              chain prerouting {
                type nat hook prerouting priority dstnat;
                jump networks_in
                fib daddr type local jump publish
              }
              chain output {
                type nat hook output priority -100;
                \(notLoopback)fib daddr type local jump publish
              }
              chain networks_out { }
              chain postrouting {
                type nat hook postrouting priority srcnat;
                jump networks_out
              }
              chain networks_between { }
              chain forward {
                type filter hook forward priority filter;
                ct state established,related accept
                ct status dnat accept
                jump networks_between
              }
            }
            """
    }

    /// Writes the rules of all networks: who answers for names, what may leave, with which address, and who may reach whom.
    func setNetworks(_ networks: [FirewallNetwork]) async throws {
        let emptied = IPFamily.allCases.flatMap { family in
            ["in", "out", "between"].map { "flush chain \(family.table) \(table) networks_\($0)\n" }
        }
        try await run((emptied + IPFamily.allCases.map { rules(networks, $0) }).joined())
    }

    private func rules(_ networks: [FirewallNetwork], _ family: IPFamily) -> String {
        let name = "\(family.table) \(table)"
        let header = family.table
        var rules = ""
        for network in networks {
            guard let subnet = family == .v4 ? network.subnet : network.ipv6Subnet else { continue }
            let bridge = "\"\(network.bridge)\""
            if let server = network.nameServer, family == .v4 {
                rules += "add rule \(name) networks_in iifname \(bridge) ip daddr \(server.address) udp dport 53 "
                rules += "dnat to \(server.address):\(server.port)\n"
            }
            let out = "add rule \(name) networks_out"
            let between = "add rule \(name) networks_between"
            // A container that reaches its own network through a published port: without a translated source the
            // answer would go straight back and not be recognised.
            rules += "\(out) oifname \(bridge) \(header) saddr \(subnet) ct status dnat masquerade\n"
            // From a loopback address of the host.
            if family == .v4 { rules += "\(out) oifname \(bridge) ip saddr 127.0.0.0/8 masquerade\n" }
            if network.isInternal {
                rules += "\(between) iifname \(bridge) oifname != \(bridge) drop\n"
                rules += "\(between) oifname \(bridge) iifname != \(bridge) drop\n"
                continue
            }
            rules += "\(out) \(header) saddr \(subnet) oifname != \(bridge) masquerade\n"
            for other in networks where other.bridge != network.bridge {
                rules += "\(between) iifname \(bridge) oifname \"\(other.bridge)\" drop\n"
            }
        }
        return rules
    }

    /// Adds published ports of an endpoint; all or none.
    func publish(_ ports: [PublishedPort], to endpoint: Endpoint) async throws {
        try await run(ports.flatMap { elements("add", $0, endpoint) }.joined(separator: "\n"))
    }

    /// Removes published ports of an endpoint; those that are not there are no error.
    func unpublish(_ ports: [PublishedPort], from endpoint: Endpoint) async throws {
        // A transaction that deletes what is missing fails as a whole; one that adds what is there does not.
        let commands = ports.flatMap { elements("add", $0, endpoint) + elements("delete", $0, endpoint) }
        try await run(commands.joined(separator: "\n"))
    }

    /// One element for each family the port is published with.
    private func elements(_ verb: String, _ port: PublishedPort, _ endpoint: Endpoint) -> [String] {
        IPFamily.allCases.compactMap { family in
            let address = family == .v4 ? endpoint.ipv4 : endpoint.ipv6
            guard !address.isEmpty, port.isPublished(family) else { return nil }
            let name = "\(family.table) \(table)"
            let key = "\(port.protocol) . \(port.hostPort)"
            let value = verb == "add" ? " : \(address) . \(port.containerPort)" : ""
            if port.isOnEveryAddress {
                return "\(verb) element \(name) ports { \(key)\(value) }"
            }
            return "\(verb) element \(name) addressed_ports { \(port.hostIP) . \(key)\(value) }"
        }
    }

    /// Runs commands as one transaction; blocking.
    typealias Run = (_ commands: String) throws -> Void

    /// Runs commands as one transaction.
    func run(_ commands: String) async throws { try await perform { run in try run(commands) } }

    /// Does several transactions without one of another caller in between.
    func perform(_ body: @escaping @Sendable (Run) throws -> Void) async throws {
        try await thread.run { [self] in
            // A thread begins with the name of who started it.
            author.withCString { _ = cl_set_thread_name($0) }
            try body { try execute($0) }
        }
    }

    private func execute(_ commands: String) throws {
        // A context a call: the library keeps every rule it has seen otherwise.
        guard let context = nft_ctx_new(UInt32(NFT_CTX_DEFAULT)) else {
            throw SkalaError(.system, "nftables: out of memory")
        }
        // Closing its socket waits until the kernel has freed what was deleted, 14 ms; nobody has to wait with it.
        let address = UInt(bitPattern: context)
        defer { closing.submit { nft_ctx_free(OpaquePointer(bitPattern: address)) } }
        nft_ctx_buffer_error(context)
        nft_ctx_buffer_output(context)
        guard nft_run_cmd_from_buffer(context, commands) != 0 else { return }
        let text = nft_ctx_get_error_buffer(context).map { String(cString: $0) } ?? ""
        let first = text.split(separator: "\n").first.map(String.init) ?? "unknown error"
        throw SkalaError(.system, "nftables: \(first)")
    }
}
