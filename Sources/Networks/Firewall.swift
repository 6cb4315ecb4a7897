import Base
import CNftables
import Glibc
import Kernel

/// The nftables rules of one engine, in a table of its own: address translation for published ports, masquerading, and
/// the walls between networks.
///
/// Published ports are elements of two maps, so that publishing one is one map update however many there are, and no
/// process stands in the way of a packet.
final class Firewall: Sendable {
    private let thread = WorkerThreads(limit: 1)
    private let table: String

    /// - Parameter tag: tells engines on one host apart.
    init(tag: String) { table = "skala_\(tag)" }

    /// Makes the table anew: without any network or port.
    func reset() async throws {
        try await run(
            """
            table ip \(table)
            delete table ip \(table)
            table ip \(table) {
              map ports { type inet_proto . inet_service : ipv4_addr . inet_service; }
              map addressed_ports { type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service; }
              chain publish {
                dnat ip to ip daddr . meta l4proto . th dport map @addressed_ports
                dnat ip to meta l4proto . th dport map @ports
              }
              chain prerouting {
                type nat hook prerouting priority dstnat;
                fib daddr type local jump publish
              }
              chain output {
                type nat hook output priority -100;
                fib daddr type local jump publish
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
            """)
    }

    func removeTable() async throws { try await run("table ip \(table)\ndelete table ip \(table)") }

    /// Writes the rules of all networks: what may leave, with which address, and who may reach whom.
    func setNetworks(_ networks: [(bridge: String, subnet: String, isInternal: Bool)]) async throws {
        var rules = "flush chain ip \(table) networks_out\nflush chain ip \(table) networks_between\n"
        for network in networks {
            let bridge = "\"\(network.bridge)\""
            let out = "add rule ip \(table) networks_out"
            let between = "add rule ip \(table) networks_between"
            // A container that reaches its own network through a published port: without a translated source the
            // answer would go straight back and not be recognised.
            rules += "\(out) oifname \(bridge) ip saddr \(network.subnet) ct status dnat masquerade\n"
            // From 127.0.0.1 of the host.
            rules += "\(out) oifname \(bridge) ip saddr 127.0.0.0/8 masquerade\n"
            if network.isInternal {
                rules += "\(between) iifname \(bridge) oifname != \(bridge) drop\n"
                rules += "\(between) oifname \(bridge) iifname != \(bridge) drop\n"
                continue
            }
            rules += "\(out) ip saddr \(network.subnet) oifname != \(bridge) masquerade\n"
            for other in networks where other.bridge != network.bridge {
                rules += "\(between) iifname \(bridge) oifname \"\(other.bridge)\" drop\n"
            }
        }
        try await run(rules)
    }

    /// Adds published ports; all or none.
    func publish(_ ports: [PublishedPort], to address: String) async throws {
        try await run(ports.map { element("add", $0, address) }.joined(separator: "\n"))
    }

    func unpublish(_ ports: [PublishedPort], from address: String) async throws {
        try await run(ports.map { element("delete", $0, address) }.joined(separator: "\n"))
    }

    private func element(_ verb: String, _ port: PublishedPort, _ address: String) -> String {
        let key = "\(port.protocol) . \(port.hostPort)"
        let value = verb == "add" ? " : \(address) . \(port.containerPort)" : ""
        if port.hostIP.isEmpty || port.hostIP == "0.0.0.0" {
            return "\(verb) element ip \(table) ports { \(key)\(value) }"
        }
        return "\(verb) element ip \(table) addressed_ports { \(port.hostIP) . \(key)\(value) }"
    }

    /// Runs commands as one transaction.
    private func run(_ commands: String) async throws {
        try await thread.run {
            // A context a call: the library keeps every rule it has seen otherwise.
            guard let context = nft_ctx_new(UInt32(NFT_CTX_DEFAULT)) else {
                throw SkalaError(.system, "nftables: out of memory")
            }
            defer { nft_ctx_free(context) }
            nft_ctx_buffer_error(context)
            nft_ctx_buffer_output(context)
            guard nft_run_cmd_from_buffer(context, commands) != 0 else { return }
            let text = nft_ctx_get_error_buffer(context).map { String(cString: $0) } ?? ""
            let first = text.split(separator: "\n").first.map(String.init) ?? "unknown error"
            throw SkalaError(.system, "nftables: \(first)")
        }
    }
}
