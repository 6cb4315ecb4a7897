import Base
import Glibc
import Kernel

extension NetworkManager {
    /// Those Docker takes too; Linux's default for ports that no one chooses.
    static let ephemeralPorts: ClosedRange<UInt16> = 32768...60999

    /// Publishes a container's ports on the host; all or none.
    ///
    /// - Throws: `.conflict` with Docker's text when one is taken, or all of a range.
    public func publish(containerID: String, ports: [PortRequest]) async throws -> [PublishedPort] {
        guard let target = attached[containerID]?.portTarget else { return [] }
        var chosen = PortChoice(families: target.families, address: target.ipv4)
        for port in ports { try choose(port, &chosen) }
        // Recorded before the rules are there, so that nobody else takes the ports meanwhile.
        attached[containerID]?.ports = chosen.ports
        attached[containerID]?.portHolds = chosen.holds
        switch attached[containerID]?.place {
        case .namespace:
            for endpoint in attached[containerID]?.endpoints ?? [] { reflect(hostInterface(endpoint)) }
        case .member(let pod):
            for tap in taps(of: pod).values { reflect(tap) }
        // Of a VM it is done when its card is plugged in.
        case .machine, nil: break
        }
        try await firewall.publish(chosen.ports, to: target)
        return chosen.ports
    }

    /// Takes the ports of a running container again, for a daemon that was restarted.
    ///
    /// - Returns: those that another program has by now. The container keeps them: its packets come first.
    func holdAgain(_ container: String) async -> [PublishedPort] {
        guard let one = attached[container], let target = one.portTarget else { return [] }
        var lost: [PublishedPort] = []
        for port in one.ports {
            guard let held = await holdAgain(port, families: target.families) else {
                lost.append(port)
                continue
            }
            attached[container]?.portHolds += held
        }
        return lost
    }

    /// - Returns: nil when another program has it by now.
    func holdAgain(_ port: PublishedPort, families: [IPFamily]) async -> [OwnedDescriptor]? {
        // The kernel may not have closed yet what a killed daemon held.
        for _ in 0..<10 {
            if let held = try? PortHold.take(port, families: families) { return held }
            try? await Task.sleep(nanoseconds: 5_000_000)  // never cancelled
        }
        return nil
    }

    /// Lets the bridge send frames back where they came from. Where the kernel hands bridged packets to the firewall
    /// (`bridge-nf-call-iptables`), a container's packet to its own published port is translated inside the bridge.
    func reflect(_ interface: String) {
        // It may go at this moment.
        try? netlink.reflect(if_nametoindex(interface))
    }

    struct PortChoice {
        /// Those the ports are published with.
        let families: [IPFamily]
        /// They lead to, in messages.
        let address: String
        var ports: [PublishedPort] = []
        var holds: [OwnedDescriptor] = []
    }

    /// Takes one port for the choice; false when it is another's.
    ///
    /// - Throws: `KernelError` when a program of the host has it, or the host has no such address.
    private func take(_ port: PublishedPort, _ choice: inout PortChoice) throws(KernelError) -> Bool {
        let isTaken =
            (Array(attached.values) + releasing.values).contains { $0.ports.contains { $0.collides(with: port) } }
            || services.values.contains { $0.spec.ports.contains { $0.collides(with: port) } }
        guard !isTaken, !choice.ports.contains(where: { $0.collides(with: port) }) else { return false }
        choice.holds += try PortHold.take(port, families: choice.families)
        choice.ports.append(port)
        return true
    }

    func choose(_ request: PortRequest, _ choice: inout PortChoice) throws(SkalaError) {
        let address = request.hostIP.isEmpty ? "0.0.0.0" : request.hostIP
        let failure = "driver failed programming external connectivity on endpoint: "
        let range = request.hostPorts ?? NetworkManager.ephemeralPorts
        // Engines on one host, and one after another, start at different ones of those nobody chose.
        let first = request.hostPorts == nil ? UInt16.random(in: range) : range.lowerBound
        for port in [first...range.upperBound, range.lowerBound...first].joined() {
            var reason = "Bind for \(address):\(port) failed: port is already allocated"
            var isFinal = range.count == 1
            do throws(KernelError) {
                if try take(request.published(at: port), &choice) { return }
            } catch {
                let inside = "\(choice.address):\(request.containerPort)/\(request.protocol)"
                reason = "failed to bind host port for \(address):\(port):\(inside): \(error.reason)"
                isFinal = isFinal || error.errno != EADDRINUSE
            }
            if isFinal { throw SkalaError(.conflict, failure + reason) }
        }
        throw SkalaError(.conflict, failure + "all ports are allocated")
    }
}
