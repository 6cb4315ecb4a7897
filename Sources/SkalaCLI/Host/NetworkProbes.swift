import Glibc
import Kernel

/// What networks of containers need.
enum NetworkProbes {
    static var all: [Probe] {
        [
            ("bridge, veth", interfaces), ("nftables", nftables), ("IP forwarding", forwarding),
        ]
    }

    private static func interfaces() throws -> Finding {
        guard let reason = try ProbeProcess.run(["network"]) else {
            return .ok("made in a network namespace")
        }
        return .limited(
            reason, costs: "containers have only --network host and none", mend: "load the modules 'bridge' and 'veth'")
    }

    private static func nftables() throws -> Finding {
        guard let program = ToolProbes.find("nft") else {
            return .limited(
                "not tried: the program 'nft' is missing", costs: "whether ports can be published is not known",
                mend: "apt-get install nftables")
        }
        guard let reason = try ProbeProcess.run(["nftables", program]) else {
            return .ok("address translation with maps and masquerading")
        }
        return .limited(
            reason, costs: "ports cannot be published, and containers reach nothing outside",
            mend: "load the modules 'nf_tables' and 'nft_chain_nat' ('nft_masq')")
    }

    private static func forwarding() -> Finding {
        let path = "/proc/sys/net/ipv4/ip_forward"
        // A file that cannot be read means the same as one that says 0.
        let value = (try? SmallFile.text(path)) ?? ""
        if value.hasPrefix("1") { return .ok("on") }
        if access(path, W_OK) == 0 { return .ok("off; the engine turns it on when it starts") }
        return .limited(
            "off, and \(path) cannot be written", costs: "containers reach nothing outside this host",
            mend: "sysctl -w net.ipv4.ip_forward=1")
    }
}
