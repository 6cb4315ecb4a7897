import Base
import Kernel

extension NetworkManager {
    /// Publishes a container's ports on the host; all or none.
    ///
    /// - Throws: `.conflict` with Docker's text when one is taken.
    public func publish(containerID: String, ports: [PublishedPort]) async throws -> [PublishedPort] {
        guard let target = attached[containerID]?.portTarget else { return [] }
        var chosen: [PublishedPort] = []
        for port in ports {
            var port = port
            if port.hostPort == 0 { port.hostPort = try freePort(port, besides: chosen) }
            guard isFree(port, besides: chosen) else {
                let address = port.hostIP.isEmpty ? "0.0.0.0" : port.hostIP
                throw SkalaError(
                    .conflict,
                    "driver failed programming external connectivity on endpoint: Bind for "
                        + "\(address):\(port.hostPort) failed: port is already allocated")
            }
            chosen.append(port)
        }
        // Recorded before the rules are there, so that nobody else takes the ports meanwhile.
        attached[containerID]?.ports = chosen
        reflect(attached[containerID]?.endpoints ?? [])
        try await firewall.publish(chosen, to: target)
        return chosen
    }

    /// Lets the bridge send frames back where they came from. Where the kernel hands bridged packets to the firewall
    /// (`bridge-nf-call-iptables`), a container's packet to its own published port is translated inside the bridge.
    private func reflect(_ endpoints: [Endpoint]) {
        for endpoint in endpoints {
            // Without the file there is no such bridge, and nothing to allow.
            try? SmallFile.write("1", to: "/sys/class/net/\(hostInterface(endpoint))/brport/hairpin_mode")
        }
    }

    private func isFree(_ port: PublishedPort, besides chosen: [PublishedPort]) -> Bool {
        let taken = attached.values.contains { $0.ports.contains { $0.collides(with: port) } }
        return !taken && !chosen.contains { $0.collides(with: port) } && PortProbe.isFree(port)
    }

    private func freePort(_ port: PublishedPort, besides chosen: [PublishedPort]) throws -> UInt16 {
        var candidate = port
        for _ in 32768..<60999 {
            candidate.hostPort = nextPort
            nextPort = nextPort >= 60999 ? 32768 : nextPort + 1
            if isFree(candidate, besides: chosen) { return candidate.hostPort }
        }
        throw SkalaError(.exhausted, "all ports from 32768 to 60999 are allocated")
    }
}
