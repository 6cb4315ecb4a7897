public import Base
import Glibc
import Kernel

/// Where the networks of an engine live, and its default network.
public struct NetworkOptions: Sendable {
    /// The bridge of the default network.
    public let bridge: String
    /// The default network's addresses; without, those that its bridge has, or else the first of Docker's pools that is
    /// free on this host.
    public let subnet: String?

    public init(bridge: String, subnet: String?) {
        self.bridge = bridge
        self.subnet = subnet
    }
}

/// Networks, the containers on them, their addresses, names and published ports.
public actor NetworkManager {
    struct Attached {
        /// What the interfaces lead to.
        enum Place {
            /// A network namespace, and a netlink socket in it.
            case namespace(OwnedDescriptor, NetlinkSocket)
            /// A VM, which configures its cards itself, and the host's ends of those, by endpoint: they go with the VM.
            case machine(taps: [String: String])
            /// A pod's VM, whose network it shares.
            case member(of: String)
        }

        /// Of this sandbox: a container has a new one with every start.
        let id = UInt64.random(in: 0...UInt64.max)
        var place: Place
        var endpoints: [Endpoint] = []
        var ports: [PublishedPort] = []
        /// Keep others from the ports while they are open.
        var portHolds: [OwnedDescriptor] = []
        var isBeingReleased = false
        /// Rules of services led to it.
        var wasBalanced = false
        /// What its guest is told by DHCP; nil for all but machines.
        var guest: GuestSettings?
        /// The endpoint published ports lead to.
        var portTarget: Endpoint? { endpoints.first { !$0.gateway.isEmpty } }
    }

    let folder: String
    let tag: String
    let options: NetworkOptions
    let namespaces: NetworkNamespaces
    let netlink: NetlinkSocket
    let threads = WorkerThreads(limit: 4)
    let firewall: Firewall
    let balancer: Balancer
    private var watch: FirewallWatch?
    private var repairIsDue = false
    private var lastRepair: Int64?
    /// Where services are remembered over a restart of the daemon.
    let servicesFolder: String
    var services: [String: Service] = [:]
    let names = NameTable()
    var networks: [String: Network] = [:]
    var pools: [String: AddressPool] = [:]
    var ipv6Pools: [String: AddressPool] = [:]
    var bridges: [String: UInt32] = [:]
    /// Network id → its bridge's own hardware address.
    var bridgeAddresses: [String: [UInt8]] = [:]
    var attached: [String: Attached] = [:]
    /// Ended, and their rules are still there.
    var releasing: [UInt64: Attached] = [:]
    /// Containers whose ended namespace is still mounted.
    var leftNamespaces: Set<String> = []
    private var servers: [String: NameServer] = [:]
    /// For the networks that machines are on.
    var addressServers: [String: DHCPServer] = [:]

    /// - Parameter runDirectory: a tmpfs; namespaces are mounted below it. Also what tells engines apart.
    public init(runDirectory: String, options: NetworkOptions) async throws {
        folder = runDirectory + "/netns"
        tag = NetworkManager.tag(runDirectory)
        self.options = options
        namespaces = try NetworkNamespaces()
        netlink = try NetlinkSocket()
        firewall = Firewall(tag: tag)
        balancer = Balancer(firewall: firewall)
        servicesFolder = runDirectory + "/services"
        try FileContents.makeDirectories(folder, mode: 0o711)
    }

    deinit { watch?.stop() }

    /// Four hexadecimal digits of the folder's name (FNV-1a): interface names have room for 15 characters.
    static func tag(_ path: String) -> String {
        let hash = path.utf8.reduce(UInt32(2_166_136_261)) { ($0 ^ UInt32($1)) &* 16_777_619 }
        return Hexadecimal.encode([UInt8(hash >> 8 & 255), UInt8(hash & 255)])
    }

    // MARK: networks

    /// Takes over after a start of the daemon: makes what is missing, removes what no running container has.
    ///
    /// - Returns: what is not as it was, in words: published ports that another program has taken meanwhile, and networks
    ///   that could not be made. Those are tried again when a container is connected.
    @discardableResult
    public func restore(networks stored: [Network], endpoints: [String: JSON]) async throws -> [String] {
        let none = Network(
            id: NetworkManager.fixedID("none"), name: "none", driver: "null", created: SystemClock.now())
        let host = Network(
            id: NetworkManager.fixedID("host"), name: "host", driver: "host", created: SystemClock.now())
        let subnet = try await defaultSubnet(besides: stored)
        guard subnet.prefix + 2 <= subnet.family.bits else {
            throw SkalaError(.invalid, "subnet \(subnet) is too small: it needs room for a gateway and a container")
        }
        let gateway = subnet.first
        let bridge = Network(
            id: NetworkManager.fixedID("bridge"), name: "bridge", driver: "bridge",
            options: ["com.docker.network.bridge.name": options.bridge],
            subnets: [Subnet(subnet: subnet.description, gateway: gateway.description)], created: SystemClock.now(),
            bridge: options.bridge)
        for network in [none, host, bridge] + stored { networks[network.id] = network }
        try await allowForwarding()
        try await bringUp(bridge)
        var problems: [String] = []
        for network in stored.sorted(by: { $0.id < $1.id }) where network.isBridged {
            do {
                try await bringUp(network)
            } catch {
                problems.append("network \(network.name): \(error)")
            }
        }
        problems += try loadServices()
        for name in try FileContents.names(in: folder) where endpoints[name] == nil {
            NetworkNamespaces.remove(at: folder + "/" + name)
        }
        for (container, document) in endpoints.sorted(by: { $0.key < $1.key }) {
            try await adopt(container, document)
            problems += await holdAgain(container).map {
                "port \($0.hostPort)/\($0.protocol) is published, and another program listens on it: "
                    + "the container gets its connections"
            }
        }
        // Only now, and all at once: until then those of the last daemon hold, and a connection that begins meanwhile is not
        // led half the way.
        try await resetFirewall()
        try await removeStrayInterfaces()
        problems += try await restoreServices()
        watch = try FirewallWatch(tables: [firewall.table, balancer.tables], author: firewall.author) { [weak self] in
            self?.rulesHaveChanged($0)
        }
        return problems
    }

    private static func fixedID(_ name: String) -> String {
        let text = Hexadecimal.encode(Array("\(name) network of skala".utf8))
        return text + String(repeating: "0", count: Identifier.length - text.count)
    }

    private func allowForwarding() async throws {
        try await threads.run {
            for path in ["/proc/sys/net/ipv4/ip_forward", "/proc/sys/net/ipv6/conf/all/forwarding"] {
                // A kernel without IPv6 has no such file; then networks with it fail, and say so.
                guard access(path, F_OK) == 0 else { continue }
                if try FileContents.read(path).first != UInt8(ascii: "1") {
                    try FileContents.overwrite(path, with: Array("1".utf8))
                }
            }
        }
    }

    func bringUp(_ network: Network) async throws {
        guard let first = network.subnet(.v4) else { return }
        let gateway = try IPAddress(parsing: first.gateway)
        if pools[network.id] == nil {
            pools[network.id] = try NetworkManager.pool(first)
            ipv6Pools[network.id] = try network.subnet(.v6).map { (subnet) throws(SkalaError) in
                try NetworkManager.pool(subnet)
            }
        }
        let netlink = netlink
        let link = try await threads.run {
            try NetworkManager.checkFree(network, netlink)
            if try !netlink.links().contains(where: { $0.name == network.bridge }) {
                try netlink.createBridge(network.bridge, address: [0x02, 0x42] + gateway.bytes)
                // Its addresses are ours alone: without looking for others it can ask for neighbours at once, and not
                // only after a second. A kernel without IPv6 has no such file.
                try? SmallFile.write("0", to: "/proc/sys/net/ipv6/conf/\(network.bridge)/accept_dad")
            }
            guard let link = try netlink.links().first(where: { $0.name == network.bridge }) else {
                throw SkalaError(.system, "bridge \(network.bridge) vanished")
            }
            for subnet in network.subnets {
                let address = try IPAddress(parsing: subnet.gateway)
                do {
                    try netlink.addAddress(
                        address.bytes, prefix: try IPNetwork(parsing: subnet.subnet).prefix, to: link.index)
                } catch let error as KernelError where error.errno == EEXIST {
                    continue  // the bridge is that of an earlier daemon
                }
            }
            // Packets from the host's 127.0.0.1 to a published port cross this interface.
            let path = "/proc/sys/net/ipv4/conf/\(network.bridge)/route_localnet"
            try FileContents.overwrite(path, with: Array("1".utf8))
            try netlink.setUp(network.bridge)
            return link
        }
        bridges[network.id] = link.index
        bridgeAddresses[network.id] = link.address
        if network.name != "bridge" {
            servers[network.id] = try NameServer(address: gateway, network: network.id, names: names)
        }
    }

    private static func pool(_ subnet: Subnet) throws(SkalaError) -> AddressPool {
        var reserved = [try IPAddress(parsing: subnet.gateway)]
        for address in subnet.auxiliary.values { reserved.append(try IPAddress(parsing: address)) }
        let range = try subnet.ipRange.map { (text) throws(SkalaError) in try IPNetwork(parsing: text) }
        return AddressPool(network: try IPNetwork(parsing: subnet.subnet), range: range, reserved: reserved)
    }

    func applyRules() async throws { try await firewall.setNetworks(firewallNetworks) }

    private var firewallNetworks: [FirewallNetwork] {
        networks.values.filter(\.isBridged).sorted { $0.id < $1.id }.map {
            FirewallNetwork(
                bridge: $0.bridge, subnet: $0.subnet(.v4)?.subnet ?? "", ipv6Subnet: $0.subnet(.v6)?.subnet,
                isInternal: $0.isInternal,
                nameServer: nameServer(of: $0))
        }
    }

    private nonisolated func rulesHaveChanged(_ change: FirewallWatch.Change) {
        Task { await repairRules(after: change) }
    }

    /// Makes all rules anew that somebody else has changed: at once, and, when he goes on with it, twice a second.
    private func repairRules(after change: FirewallWatch.Change) async {
        // Not knowing may come of our own doing, so that it must not lead to more of it.
        let pause: Int64 = change == .unknown ? 60_000_000_000 : 500_000_000
        let due = lastRepair.map { $0 + pause } ?? 0
        guard !repairIsDue else { return }
        repairIsDue = true
        let left = max(0, due - SystemClock.monotonicNanoseconds())
        try? await Task.sleep(nanoseconds: UInt64(left))  // never cancelled
        repairIsDue = false
        lastRepair = SystemClock.monotonicNanoseconds()
        if await tryRepair() { return }
        BackgroundRetry.start { [weak self] in await self?.tryRepair() ?? true }
    }

    private func resetFirewall() async throws {
        let ports = (Array(attached.values) + releasing.values).flatMap { one in
            one.portTarget.map { target in one.ports.map { ($0, target) } } ?? []
        }
        try await firewall.reset(networks: firewallNetworks, ports: ports)
    }

    /// - Returns: false when the kernel refuses.
    private func tryRepair() async -> Bool {
        do {
            try await resetFirewall()
            try await balancer.rewrite()
            return true
        } catch { return false }
    }

    private func nameServer(of network: Network) -> (address: String, port: UInt16)? {
        guard let server = servers[network.id], let subnet = network.subnet(.v4) else { return nil }
        return (subnet.gateway, server.port)
    }

    /// Interfaces of ours that no adopted container has; their namespaces are gone or going.
    private func removeStrayInterfaces() async throws {
        let known = Set(attached.values.flatMap { $0.endpoints.map(hostInterface) })
        let prefix = "sk" + tag
        let bridges = Set(networks.values.map(\.bridge))
        let netlink = netlink
        try await threads.run {
            for link in try netlink.links() where link.name.hasPrefix(prefix) {
                if known.contains(link.name) || bridges.contains(link.name) { continue }
                // It may go by itself at this moment.
                try? netlink.deleteLink(link.name)
            }
        }
    }

    public func list() -> [Network] { networks.values.sorted { $0.created < $1.created } }

    /// By name, id, or the start of an id.
    ///
    /// - Throws: `.notFound` with Docker's text.
    public func find(_ reference: String) throws -> Network {
        let name = reference == "default" ? "bridge" : reference
        if let network = networks[name] ?? networks.values.first(where: { $0.name == name }) { return network }
        let matches = name.isEmpty ? [] : networks.values.filter { $0.id.hasPrefix(name) }
        if matches.count > 1 {
            throw SkalaError(
                .invalid, "network \(reference) is ambiguous (\(matches.count) matches found on ID prefix)")
        }
        guard let match = matches.first else { throw SkalaError(.notFound, "network \(reference) not found") }
        return match
    }

    /// - Throws: `.conflict` when the name is in use or the addresses overlap with another network's.
    public func create(_ request: NetworkRequest) async throws -> Network {
        guard !networks.values.contains(where: { $0.name == request.name }) else {
            throw SkalaError(.conflict, "network with name \(request.name) already exists")
        }
        // Until the addresses are on the host's list, no one else may choose.
        let turn = try await AddressTurn.take()
        defer { turn?.close() }
        let subnets = try await chooseSubnets(request)
        let id = Identifier.make()
        let wanted = request.options["com.docker.network.bridge.name"]
        let network = Network(
            id: id, name: request.name, driver: request.driver, options: request.options, labels: request.labels,
            subnets: subnets, created: SystemClock.now(), isInternal: request.isInternal,
            isAttachable: request.isAttachable, bridge: wanted ?? "sk\(tag)b\(id.prefix(8))")
        networks[id] = network
        do {
            try await bringUp(network)
            try await applyRules()
        } catch {
            await takeDown(network)
            throw error
        }
        return network
    }

    /// - Throws: `.forbidden` with Docker's text while running containers are connected.
    public func remove(_ id: String) async throws {
        let network = try find(id)
        guard endpoints(on: network.id).isEmpty else {
            throw SkalaError(
                .forbidden,
                "error while removing network: network \(network.name) id \(network.id) has active endpoints")
        }
        if let service = services.values.first(where: { $0.spec.attachments.contains { $0.networkID == network.id } }) {
            throw SkalaError(
                .forbidden,
                "error while removing network: network \(network.name) is used by service \(service.spec.id)")
        }
        await takeDown(network)
        try await applyRules()
    }

    private func takeDown(_ network: Network) async {
        networks[network.id] = nil
        pools[network.id] = nil
        ipv6Pools[network.id] = nil
        bridges[network.id] = nil
        bridgeAddresses[network.id] = nil
        servers.removeValue(forKey: network.id)?.stop()
        addressServers.removeValue(forKey: network.id)?.stop()
        let netlink = netlink
        // It may not have been made.
        try? await threads.run { try netlink.deleteLink(network.bridge) }
    }
}
