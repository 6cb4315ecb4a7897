import Base
import Glibc
import Kernel

extension NetworkManager {
    /// A service with what it holds here.
    struct Service {
        var spec: BalancedService
        /// Keep others from its ports while they are open.
        var holds: [PublishedPort: [OwnedDescriptor]] = [:]
    }

    /// Makes a service reachable, or changes it: new connections to its addresses and ports go to its members from the
    /// moment this returns. Idempotent.
    ///
    /// Members that are no longer named get no new connections and keep those they have until their container is gone.
    /// The addresses and ports it has stay, as far as they are still asked for.
    ///
    /// - Returns: the service with its addresses and ports.
    /// - Throws: `.conflict` when an address or port is another's, `.exhausted` when a network has none left, `.notFound`
    ///   for a network that is not there; then nothing is changed.
    @discardableResult
    public func setService(_ wanted: BalancedService) async throws -> BalancedService {
        let old = services[wanted.id]
        var new = Service(spec: wanted)
        new.spec.attachments = try keepingAddresses(wanted.attachments, old?.spec.attachments ?? [])
        let taken = try takeAddresses(&new.spec, except: old?.spec)
        do {
            try takePorts(&new, old)
        } catch {
            for (network, address) in taken { freeAddress(address, network) }
            throw error
        }
        new.spec.members = membersWithLeaving(new.spec.members, old?.spec.members ?? [])
        services[wanted.id] = new
        do {
            try await setUp(new.spec, taken)
        } catch {
            // As before; what the old rules lead to is still held.
            services[wanted.id] = old
            balancer.want(wanted.id, old.map { resolve($0.spec) })
            // A new one has none; the old one's is written again with its next change.
            if let old { noteMembers(old.spec.id) } else { unlink(servicePath(wanted.id)) }
            for (network, address) in taken {
                await removeFromBridge(address, network)
                freeAddress(address, network)
            }
            throw error
        }
        await release(addressesOf: old?.spec, except: new.spec)
        setNames(new.spec, replacing: old?.spec)
        reflectMembers(of: new.spec)
        await forgetRefused(new.spec, before: old?.spec)
        return new.spec
    }

    /// A service, or a port of it, has members now: who was refused before comes to them.
    private func forgetRefused(_ new: BalancedService, before old: BalancedService?) async {
        func serves(_ service: BalancedService?) -> Bool { service?.members.contains { $0.weight > 0 } ?? false }
        guard serves(new) else { return }
        let known = serves(old) ? old : nil
        let ports = Set(new.ports.map(\.hostPort)).subtracting(known?.ports.map(\.hostPort) ?? [])
        let addresses = Set(new.attachments.flatMap(\.addresses)).subtracting(
            known?.attachments.flatMap(\.addresses) ?? [])
        // At worst a client goes on asking in vain, until it pauses for 30 s or asks from another port.
        try? await threads.run { try ConnectionTracking.forgetRefused(toPorts: ports, addresses: addresses) }
    }

    /// Changes who does a service's work: one transaction of what differs.
    ///
    /// - Throws: `.notFound` for an unknown service.
    public func setMembers(of id: String, _ members: [BalancedMember]) async throws {
        guard let service = services[id] else { throw SkalaError(.notFound, "no such balanced service: \(id)") }
        let members = membersWithLeaving(members, service.spec.members)
        guard members != service.spec.members else { return try await balancer.apply() }
        services[id]?.spec.members = members
        try await refresh(id)
        if let new = services[id]?.spec { await forgetRefused(new, before: service.spec) }
    }

    /// Takes a service away: its addresses, ports, names and rules. No error when it is not there. Connections through it
    /// go on until they end, where they do not need the rules: those from other machines do.
    public func removeService(_ id: String) async throws {
        guard let service = services[id] else { return }
        setNames(nil, replacing: service.spec)
        balancer.want(id, nil)
        try await balancer.apply()
        // Another call may have been faster.
        guard services.removeValue(forKey: id) != nil else { return }
        unlink(servicePath(id))
        await release(addressesOf: service.spec, except: nil)
    }

    public func service(_ id: String) -> BalancedService? { services[id]?.spec }

    /// By id.
    public func balancedServices() -> [BalancedService] { services.values.map(\.spec).sorted { $0.id < $1.id } }

    // MARK: members

    /// The members that are named, and those that are leaving: without new connections while their container is there.
    private func membersWithLeaving(_ named: [BalancedMember], _ old: [BalancedMember]) -> [BalancedMember] {
        let ids = Set(named.map(\.id))
        let leaving = old.filter { !ids.contains($0.id) && attached[$0.id] != nil }.map { member in
            var member = member
            member.weight = 0
            return member
        }
        return named.map { member in
            var member = member
            member.weight = min(max(0, member.weight), 1 << 16)
            return member
        } + leaving
    }

    /// Takes a container out of all services; `balancer.apply` makes it so.
    ///
    /// - Returns: false when it was in none.
    func leaveServices(_ container: String) -> Bool {
        let ids = services.keys.filter { id in services[id]?.spec.members.contains { $0.id == container } == true }
        for id in ids {
            services[id]?.spec.members.removeAll { $0.id == container }
            noteMembers(id)
        }
        return !ids.isEmpty
    }

    /// A member has other addresses now; `balancer.apply` makes it so.
    ///
    /// - Returns: false when the container is in no service.
    func updateServices(of container: String) -> Bool {
        let ids = services.keys.filter { id in services[id]?.spec.members.contains { $0.id == container } == true }
        for id in ids { noteMembers(id) }
        return !ids.isEmpty
    }

    func noteMembers(_ id: String) {
        guard let spec = services[id]?.spec else { return }
        balancer.want(id, resolve(spec))
        setNames(spec, replacing: spec)
        // Written again with the next change; whoever starts again without it drops members that are not there.
        try? FileContents.replace(servicePath(id), with: spec.json.bytes, mode: 0o600)
    }

    private func refresh(_ id: String) async throws {
        guard let spec = services[id]?.spec else { return }
        noteMembers(id)
        reflectMembers(of: spec)
        try await balancer.apply()
    }

    /// Forgets what is led to addresses that are gone: datagrams would be led there as long as their client sends.
    func forgetConnections(to endpoints: [Endpoint]) async throws {
        let addresses = Set(endpoints.flatMap(\.addresses))
        _ = try await threads.run { try ConnectionTracking.forget(to: addresses) }
    }

    /// A member may come to itself through the service (see `reflect`).
    private func reflectMembers(of spec: BalancedService) {
        for member in spec.members {
            switch attached[member.id]?.place {
            case .namespace:
                for endpoint in attached[member.id]?.endpoints ?? [] { reflect(hostInterface(endpoint)) }
            case .machine(let taps): for tap in taps.values { reflect(tap) }
            case .member(let pod): for tap in taps(of: pod).values { reflect(tap) }
            case nil: break
            }
        }
    }

    private func addresses(of member: BalancedMember, on network: String) -> [IPAddress] {
        if let given = member.addresses[network] { return given }
        return attached[member.id]?.endpoints.first { $0.networkID == network }?.addresses ?? []
    }

    func resolve(_ spec: BalancedService) -> ResolvedService {
        let ingress = ingressNetwork(of: spec)
        var ids = spec.attachments.map(\.networkID)
        if !spec.ports.isEmpty, !ids.contains(ingress) { ids.append(ingress) }
        let fronts = ids.compactMap { id -> ResolvedService.Front? in
            guard let network = networks[id], let hardware = bridgeAddresses[id] else { return nil }
            return ResolvedService.Front(
                networkID: id, bridge: network.bridge, hardwareAddress: MACAddress.text(hardware),
                addresses: spec.attachments.first { $0.networkID == id }?.addresses ?? [],
                members: spec.members.flatMap { member in
                    addresses(of: member, on: id).map {
                        SlotTable.Member(address: $0, weight: member.weight, key: member.key)
                    }
                })
        }
        return ResolvedService(
            id: spec.id, algorithm: spec.algorithm, fronts: fronts, ports: spec.ports, ingressNetworkID: ingress)
    }

    func ingressNetwork(of spec: BalancedService) -> String {
        if let id = spec.ingressNetworkID { return id }
        let open = spec.attachments.first { networks[$0.networkID]?.isInternal == false }
        return open?.networkID ?? networks.values.first { $0.name == "bridge" }?.id ?? ""
    }

    private func setNames(_ new: BalancedService?, replacing old: BalancedService?) {
        for one in old?.attachments ?? []
        where new?.attachments.contains(where: { $0.networkID == one.networkID }) != true {
            names.set(old?.id ?? "", on: one.networkID, nil)
        }
        guard let new else { return }
        for one in new.attachments where networks[one.networkID]?.name != "bridge" {
            let members = new.members.filter { $0.weight > 0 }.flatMap { addresses(of: $0, on: one.networkID) }
            names.set(
                new.id, on: one.networkID,
                ServiceNames(
                    names: one.names.map { $0.lowercased() }, own: one.hasAddress ? one.addresses : [],
                    members: members))
        }
    }

    // MARK: addresses and ports

    private func keepingAddresses(
        _ wanted: [BalancedService.Attachment], _ old: [BalancedService.Attachment]
    ) throws -> [BalancedService.Attachment] {
        var result: [BalancedService.Attachment] = []
        for one in wanted {
            let network = try find(one.networkID)
            guard bridges[network.id] != nil else {
                throw SkalaError(.conflict, "network \(network.name) has no addresses for a service")
            }
            let before = old.first { $0.networkID == network.id && $0.hasAddress }
            let ipv4 = one.ipv4.isEmpty ? before?.ipv4 ?? "" : one.ipv4
            let ipv6 = one.ipv6.isEmpty ? before?.ipv6 ?? "" : one.ipv6
            result.append(
                BalancedService.Attachment(
                    networkID: network.id, names: one.names, ipv4: one.hasAddress ? ipv4 : "",
                    ipv6: one.hasAddress ? ipv6 : "", hasAddress: one.hasAddress))
        }
        return result
    }

    /// - Returns: the addresses taken from their pools; on an error none is.
    private func takeAddresses(
        _ spec: inout BalancedService, except old: BalancedService?
    ) throws -> [(network: String, address: IPAddress)] {
        var taken: [(network: String, address: IPAddress)] = []
        do {
            for index in spec.attachments.indices where spec.attachments[index].hasAddress {
                let one = spec.attachments[index]
                let before = old?.attachments.first { $0.networkID == one.networkID }
                if one.ipv4.isEmpty || one.ipv4 != before?.ipv4 {
                    if let address = try take(&pools[one.networkID], one.ipv4) {
                        spec.attachments[index].ipv4 = address.description
                        taken.append((one.networkID, address))
                    }
                }
                if one.ipv6.isEmpty || one.ipv6 != before?.ipv6 {
                    if let address = try take(&ipv6Pools[one.networkID], one.ipv6) {
                        spec.attachments[index].ipv6 = address.description
                        taken.append((one.networkID, address))
                    }
                }
            }
        } catch {
            for (network, address) in taken { freeAddress(address, network) }
            throw error
        }
        return taken
    }

    private func take(_ pool: inout AddressPool?, _ wanted: String) throws(SkalaError) -> IPAddress? {
        guard !wanted.isEmpty else { return try pool?.take() }
        let address = try IPAddress(parsing: wanted)
        guard pool != nil else { throw SkalaError(.invalid, "the network has no addresses such as \(wanted)") }
        try pool?.take(address)
        return address
    }

    private func freeAddress(_ address: IPAddress, _ network: String) {
        if address.family == .v4 { pools[network]?.free(address) } else { ipv6Pools[network]?.free(address) }
    }

    /// Ports that were asked for before stay.
    private func takePorts(_ new: inout Service, _ old: Service?) throws(SkalaError) {
        let network = networks[ingressNetwork(of: new.spec)]
        let families: [IPFamily] = network?.subnet(.v6) == nil ? [.v4] : [.v4, .v6]
        var kept = old?.spec.ports ?? []
        var ports: [PublishedPort] = []
        for request in new.spec.portRequests {
            if let index = kept.firstIndex(where: { request.isMet(by: $0) }) {
                let port = kept.remove(at: index)
                ports.append(port)
                new.holds[port] = old?.holds[port]
                continue
            }
            var choice = PortChoice(families: families, address: "service \(new.spec.id)")
            choice.ports = ports
            try choose(request, &choice)
            guard let port = choice.ports.last else { continue }
            new.holds[port] = choice.holds
            ports.append(port)
        }
        new.spec.ports = ports
    }

    private func setUp(_ spec: BalancedService, _ taken: [(network: String, address: IPAddress)]) async throws {
        for (network, address) in taken { try await addToBridge(address, network) }
        try FileContents.makeDirectories(servicesFolder, mode: 0o700)
        try FileContents.replace(servicePath(spec.id), with: spec.json.bytes, mode: 0o600)
        balancer.want(spec.id, services[spec.id].map { resolve($0.spec) })
        try await balancer.apply()
    }

    /// The bridge answers for the address, and the rules take what comes to it.
    func addToBridge(_ address: IPAddress, _ network: String) async throws {
        guard let bridge = bridges[network] else { return }
        let netlink = netlink
        try await threads.run {
            do {
                try netlink.addAddress(
                    address.bytes, prefix: address.family.bits, to: bridge, isPreferred: address.family == .v4)
            } catch let error as KernelError where error.errno == EEXIST {
                return  // of an earlier daemon
            }
        }
    }

    func removeFromBridge(_ address: IPAddress, _ network: String) async {
        guard let bridge = bridges[network] else { return }
        let netlink = netlink
        // The network may have gone with it.
        try? await threads.run {
            try netlink.removeAddress(address.bytes, prefix: address.family.bits, from: bridge)
        }
    }

    private func release(addressesOf old: BalancedService?, except new: BalancedService?) async {
        for one in old?.attachments ?? [] {
            let kept = new?.attachments.first { $0.networkID == one.networkID }?.addresses ?? []
            for address in one.addresses where !kept.contains(address) {
                await removeFromBridge(address, one.networkID)
                freeAddress(address, one.networkID)
            }
        }
    }
}
