import Base
import Glibc
import Kernel

/// Services over a restart of the daemon.
extension NetworkManager {
    func servicePath(_ id: String) -> String { "\(servicesFolder)/\(ResolvedService.word(id)).json" }

    /// Takes the services of the daemon before, and their addresses before anyone else asks for one.
    ///
    /// - Returns: what could not be taken over, in words.
    func loadServices() throws -> [String] {
        try FileContents.makeDirectories(servicesFolder, mode: 0o700)
        var problems: [String] = []
        for name in try FileContents.names(in: servicesFolder) {
            let path = servicesFolder + "/" + name
            do {
                let json = try JSON(parsing: try FileContents.read(path))
                var spec = try BalancedService(json: json)
                // A network may have gone with the host's restart.
                spec.attachments.removeAll { bridges[$0.networkID] == nil }
                for one in spec.attachments {
                    for address in one.addresses {
                        if address.family == .v4 {
                            try pools[one.networkID]?.take(address)
                        } else {
                            try ipv6Pools[one.networkID]?.take(address)
                        }
                    }
                }
                services[spec.id] = Service(spec: spec)
            } catch {
                unlink(path)
                problems.append("service record \(name): \(error)")
            }
        }
        return problems
    }

    /// Writes the rules of the services taken over, with the members that are still there, and removes addresses that
    /// belong to none.
    ///
    /// - Returns: ports that another program has taken meanwhile, in words.
    func restoreServices() async throws -> [String] {
        var problems: [String] = []
        for id in services.keys.sorted() {
            guard var service = services[id] else { continue }
            service.spec.members.removeAll { attached[$0.id] == nil && $0.addresses.isEmpty }
            let network = networks[ingressNetwork(of: service.spec)]
            for port in service.spec.ports {
                let families: [IPFamily] = network?.subnet(.v6) == nil ? [.v4] : [.v4, .v6]
                service.holds[port] = await holdAgain(port, families: families)
                if service.holds[port] == nil {
                    problems.append(
                        "port \(port.hostPort)/\(port.protocol) is published, and another program listens on it: "
                            + "service \(id) gets its connections")
                }
            }
            services[id] = service
            for one in service.spec.attachments {
                for address in one.addresses { try await addToBridge(address, one.networkID) }
            }
            noteMembers(id)
        }
        try await balancer.rewrite()
        try await removeStrayAddresses()
        return problems
    }

    private func removeStrayAddresses() async throws {
        let known = Set(services.values.flatMap { $0.spec.attachments.flatMap(\.addresses) })
        for (id, bridge) in bridges {
            let subnets = (networks[id]?.subnets ?? []).compactMap { try? IPNetwork(parsing: $0.subnet) }  // our texts
            let netlink = netlink
            let addresses = try await threads.run { try netlink.addresses(of: bridge) }
            for (bytes, prefix) in addresses {
                let family: IPFamily = bytes.count == 4 ? .v4 : .v6
                let address = IPAddress(family, bytes.reduce(0) { $0 << 8 | UInt128($1) })
                guard prefix == family.bits, subnets.contains(where: { $0.contains(address) && $0.prefix < prefix }),
                    !known.contains(address)
                else { continue }
                await removeFromBridge(address, id)
            }
        }
    }
}
