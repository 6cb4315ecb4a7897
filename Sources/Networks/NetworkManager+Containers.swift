import Base
import Glibc
import Kernel

extension NetworkManager {
    /// Makes a container's network namespace.
    ///
    /// - Returns: the file it is mounted on.
    public func makeNamespace(containerID: String) async throws -> String {
        let path = folder + "/" + containerID
        // One that could not be removed would be in the way.
        if leftNamespaces.remove(containerID) != nil { NetworkNamespaces.remove(at: path) }
        let made = try await namespaces.create(at: path)
        attached[containerID] = Attached(place: .namespace(made.namespace, made.socket))
        return path
    }

    /// Makes room for a container in a VM: `connect` then only gives it an address, and `plug` connects one of the VM's
    /// cards.
    public func makeMachine(containerID: String) { attached[containerID] = Attached(place: .machine(taps: [:])) }

    /// Connects a VM's card to one of its container's networks.
    ///
    /// - Parameters:
    ///   - tap: the host's end of the card, which goes with the VM.
    ///   - rate: bytes a second towards the VM; nil is no limit.
    public func plug(_ tap: String, to endpoint: Endpoint, containerID: String, rate: Int64?) async throws {
        guard case .machine(var taps)? = attached[containerID]?.place, let bridge = bridges[endpoint.networkID] else {
            return
        }
        let netlink = netlink
        try await threads.run {
            try netlink.plug(tap, into: bridge)
            if let rate { try netlink.limitRate(of: if_nametoindex(tap), bytesPerSecond: rate) }
        }
        taps[endpoint.endpointID] = tap
        attached[containerID]?.place = .machine(taps: taps)
        let published = members(of: containerID).map(\.ports) + [attached[containerID]?.ports ?? []]
        if published.contains(where: { !$0.isEmpty }) { reflect(tap) }
    }

    /// A pod's VM has ended, and its card with it; addresses and ports stay the pod's.
    public func unplug(containerID: String) {
        if case .machine? = attached[containerID]?.place { attached[containerID]?.place = .machine(taps: [:]) }
    }

    private func members(of pod: String) -> [Attached] {
        attached.values.filter { if case .member(of: pod) = $0.place { true } else { false } }
    }

    /// Gives a container its pod's addresses; its names lead to them as long as it is there. `destroySandbox` ends it.
    ///
    /// - Parameter names: by which others find it, on networks with names.
    public func join(containerID: String, pod: String, names: [String]) throws(SkalaError) {
        guard let shared = attached[pod] else { throw SkalaError(.conflict, "pod \(pod) has no network") }
        var one = Attached(place: .member(of: pod))
        one.endpoints = shared.endpoints.map { $0.shared(names: $0.networkName == "bridge" ? [] : names) }
        attached[containerID] = one
        for endpoint in one.endpoints { self.names.add(endpoint, of: pod) }
    }

    func adopt(_ container: String, _ document: JSON) async throws {
        let pod = document["pod"].string
        var one = Attached(
            place: pod.map { .member(of: $0) } ?? .machine(taps: document["taps"].stringDictionary ?? [:]))
        if document["taps"].isNull, pod == nil {
            let opened = try await namespaces.open(folder + "/" + container)
            one = Attached(place: .namespace(opened.namespace, opened.socket))
        }
        for json in document["endpoints"].array ?? [] {
            let endpoint = Endpoint(json: json)
            one.endpoints.append(endpoint)
            if pod == nil { try pools[endpoint.networkID]?.take(try IPAddress(parsing: endpoint.ipv4)) }
            if pod == nil, !endpoint.ipv6.isEmpty {
                try ipv6Pools[endpoint.networkID]?.take(try IPAddress(parsing: endpoint.ipv6))
            }
            names.add(endpoint, of: container)
        }
        one.ports = (document["ports"].array ?? []).map(PublishedPort.init(json:))
        attached[container] = one
        if !document["guest"].isNull {
            // Without it the machine keeps the address it has.
            try? await lease(containerID: container, GuestSettings(json: document["guest"]))
        }
    }

    /// What `restore` needs of a container after the daemon's restart.
    public func document(of container: String) -> JSON {
        guard let one = attached[container] else { return .null }
        var document: JSON = [
            "endpoints": JSON(one.endpoints.map(\.json)), "ports": JSON(one.ports.map(\.json)),
        ]
        switch one.place {
        case .machine(let taps): document["taps"] = JSON(taps)
        case .member(let pod): document["pod"] = JSON(pod)
        case .namespace: break
        }
        if let guest = one.guest { document["guest"] = guest.json }
        return document
    }

    /// The host's end of a container's interface: `sk`, the engine's tag, and nine digits of the endpoint's id. The id is
    /// new with every start: the kernel removes the last start's interface in the background, and it may still be there.
    func hostInterface(_ endpoint: Endpoint) -> String { "sk" + tag + endpoint.endpointID.prefix(9) }

    /// A container's new name replaces the old one on its networks.
    public func rename(containerID: String, from old: String, to new: String) {
        for index in attached[containerID]?.endpoints.indices ?? 0..<0 {
            guard var endpoint = attached[containerID]?.endpoints[index], endpoint.dnsNames.contains(old) else {
                continue
            }
            names.remove(endpoint)
            endpoint.dnsNames = endpoint.dnsNames.map { $0 == old ? new : $0 }
            names.add(endpoint, of: containerID)
            attached[containerID]?.endpoints[index] = endpoint
        }
    }

    /// Connects a container's namespace to a network.
    ///
    /// - Throws: `.conflict` when the wanted address is taken; `.exhausted` when none is left.
    public func connect(containerID: String, _ request: EndpointRequest) async throws -> Endpoint {
        let network = try find(request.networkID)
        if bridges[network.id] == nil, network.isBridged {
            // It could not be made when the daemon started.
            try await bringUp(network)
            try await applyRules()
        }
        guard let one = attached[containerID], let bridge = bridges[network.id],
            let subnet = network.subnet(.v4)
        else { throw SkalaError(.conflict, "container \(containerID) cannot be connected to network \(network.name)") }
        guard let address = try takeIPv4(network.id, request) else {
            throw SkalaError(.conflict, "network \(network.name) has no IPv4 addresses")
        }
        var ipv6: IPAddress?
        do {
            ipv6 = try take(&ipv6Pools[network.id], request.ipv6)
            let mac = try request.macAddress.map(MACAddress.parse) ?? [0x02, 0x42] + address.bytes
            var endpoint = Endpoint(
                endpointID: Identifier.make(), networkID: network.id, networkName: network.name,
                interface: NetworkManager.freeInterface(one.endpoints), macAddress: MACAddress.text(mac),
                ipv4: address.description,
                prefixLength: Int(try IPNetwork(parsing: subnet.subnet).prefix),
                gateway: network.isInternal ? "" : subnet.gateway,
                dnsNames: network.name == "bridge" ? [] : [request.containerName] + request.aliases)
            if let ipv6, let subnet = network.subnet(.v6) {
                endpoint.ipv6 = ipv6.description
                endpoint.ipv6PrefixLength = Int(try IPNetwork(parsing: subnet.subnet).prefix)
                endpoint.ipv6Gateway = network.isInternal ? "" : subnet.gateway
            }
            try await plug(endpoint, into: one, bridge: bridge, mac: mac, rate: request.rate)
            attached[containerID]?.endpoints.append(endpoint)
            names.add(endpoint, of: containerID)
            if one.portTarget == nil { try await publishAgain(containerID) }
            return endpoint
        } catch {
            pools[network.id]?.free(address)
            if let ipv6 { ipv6Pools[network.id]?.free(ipv6) }
            throw error
        }
    }

    /// Leads a running container's ports, which led nowhere, to the network that has been connected.
    private func publishAgain(_ containerID: String) async throws {
        guard let one = attached[containerID], !one.ports.isEmpty, let target = one.portTarget else { return }
        if case .namespace = one.place { reflect(hostInterface(target)) }
        try await firewall.publish(one.ports, to: target)
    }

    /// The lowest `ethN` that is not in use: a network in the middle may have been disconnected.
    private static func freeInterface(_ endpoints: [Endpoint]) -> String {
        let used = Set(endpoints.map(\.interface))
        let name = (0...used.count).map { "eth\($0)" }.first { !used.contains($0) }
        return name ?? "eth\(used.count)"
    }

    private func takeIPv4(_ network: String, _ request: EndpointRequest) throws(SkalaError) -> IPAddress? {
        if request.ipv4 == nil, let previous = request.previousIPv4,
            let address = try? take(&pools[network], previous)
        {
            return address
        }
        // None before, or another's by now.
        return try take(&pools[network], request.ipv4)
    }

    /// The wanted address of a pool, or the next one; nil without a pool.
    private func take(_ pool: inout AddressPool?, _ wanted: String?) throws(SkalaError) -> IPAddress? {
        guard let wanted else { return try pool?.take() }
        let address = try IPAddress(parsing: wanted)
        guard pool != nil else { throw SkalaError(.invalid, "the network has no addresses such as \(wanted)") }
        try pool?.take(address)
        return address
    }

    private func plug(
        _ endpoint: Endpoint, into one: Attached, bridge: UInt32, mac: [UInt8], rate: Int64?
    ) async throws {
        let name = hostInterface(endpoint)
        let netlink = netlink
        guard case .namespace(let namespace, let socket) = one.place else { return }
        let gateways = endpoint.defaultGateways(after: one.endpoints)
        try await threads.run {
            try netlink.createVeth(
                name, bridge: bridge, peer: endpoint.interface, peerAddress: mac, namespace: namespace.raw,
                mtu: 1500)
            do {
                guard let link = try socket.links().first(where: { $0.name == endpoint.interface }) else {
                    throw SkalaError(.system, "interface \(endpoint.interface) vanished")
                }
                let addresses = [
                    (endpoint.ipv4, endpoint.prefixLength), (endpoint.ipv6, endpoint.ipv6PrefixLength),
                ]
                for (text, prefix) in addresses where !text.isEmpty {
                    let address = try IPAddress(parsing: text)
                    try socket.addAddress(address.bytes, prefix: UInt8(prefix), to: link.index)
                }
                try socket.setUp(endpoint.interface)
                if let rate {
                    // What leaves the host's end is what the container receives.
                    try netlink.limitRate(of: if_nametoindex(name), bytesPerSecond: rate)
                    try socket.limitRate(of: link.index, bytesPerSecond: rate)
                }
                for text in gateways {
                    try socket.addDefaultRoute(gateway: try IPAddress(parsing: text).bytes, index: link.index)
                }
            } catch {
                try? netlink.deleteLink(name)  // the first error is the one that tells
                throw error
            }
        }
    }

    func free(_ endpoint: Endpoint, of place: Attached.Place) {
        if case .machine = place { endLease(endpoint) }
        names.remove(endpoint)
        if case .member = place { return }
        // Our own texts: they parse.
        if let address = try? IPAddress(parsing: endpoint.ipv4) { pools[endpoint.networkID]?.free(address) }
        if let address = try? IPAddress(parsing: endpoint.ipv6) { ipv6Pools[endpoint.networkID]?.free(address) }
    }

    /// Takes a container off a network. What led through it leads through the next one with a way out: published ports,
    /// and, but for a VM, which is told by its engine, the default routes.
    public func disconnect(containerID: String, networkID: String) async throws {
        let target = attached[containerID]?.portTarget?.endpointID
        guard let before = attached[containerID]?.endpoints,
            let index = before.firstIndex(where: { $0.networkID == networkID })
        else { throw SkalaError(.forbidden, "container \(containerID) is not connected to network \(networkID)") }
        let endpoint = before[index]
        attached[containerID]?.endpoints.remove(at: index)
        if let one = attached[containerID], !one.ports.isEmpty, endpoint.endpointID == target {
            // The ports led to this address; now they lead to the next one, or nowhere.
            try await firewall.unpublish(one.ports, from: endpoint)
            if let next = one.portTarget { try await firewall.publish(one.ports, to: next) }
        }
        if updateServices(of: containerID) {
            try await balancer.apply()
            try await forgetConnections(to: [endpoint])
        }
        free(endpoint, of: attached[containerID]?.place ?? .machine(taps: [:]))
        let name = hostInterface(endpoint)
        let netlink = netlink
        switch attached[containerID]?.place {
        case nil, .member: return
        case .machine(var taps):
            guard let tap = taps.removeValue(forKey: endpoint.endpointID) else { return }
            attached[containerID]?.place = .machine(taps: taps)
            // The card is its VM's, and leads nowhere.
            try await threads.run { try netlink.plug(tap, into: 0) }
        case .namespace(_, let socket):
            let routes = Endpoint.newRoutes(before: before, without: endpoint)
            try await threads.run {
                try netlink.deleteLink(name)
                for (interface, gateway) in routes {
                    guard let link = try socket.links().first(where: { $0.name == interface }) else { continue }
                    try socket.addDefaultRoute(gateway: try IPAddress(parsing: gateway).bytes, index: link.index)
                }
            }
        }
    }
}
