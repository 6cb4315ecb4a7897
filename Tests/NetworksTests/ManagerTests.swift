import Base
import Glibc
import Kernel
import TestSupport
import Testing

@testable import Networks

/// The manager with real bridges, namespaces and rules: in a network and mount namespace of the test's own, so that the
/// host sees nothing of it.
@Suite(.serialized, .timeLimit(.minutes(2))) struct ManagerTests {
    private static let isInside = OwnNamespace.isInside

    @Test(.disabled(if: isInside)) func inANamespaceOfItsOwn() async throws {
        guard try OwnNamespace.isPossible(for: "ManagerTests") else { return }
        let (status, text) = try await OwnNamespace.run("ManagerTests")
        #expect(
            status == 0 && text.contains("containersAreConnected") && text.contains("enginesTakeTurns")
                && text.contains("defaultAddresses"), "\(text)")
    }

    private func nft() throws -> String { try Subprocess.output(["/usr/sbin/nft", "list", "ruleset"], limit: 1 << 20) }

    private func links() throws -> [String] { try NetlinkSocket().links().map(\.name).filter { $0 != "lo" }.sorted() }

    private func request(_ network: Network, _ name: String, ipv4: String? = nil) -> EndpointRequest {
        EndpointRequest(
            networkID: network.id, containerName: name, aliases: ["alias"], ipv4: ipv4, ipv6: nil, macAddress: nil,
            rate: nil)
    }

    private func port(
        _ host: ClosedRange<UInt16>?, _ container: UInt16, ip: String = "", name: String = "tcp"
    ) -> PortRequest {
        PortRequest(hostIP: ip, hostPorts: host, containerPort: container, protocol: name)
    }

    private func manager(
        _ folder: TemporaryFolder, bridge: String = "skt0", subnet: String? = "172.23.0.0/16"
    ) async throws -> NetworkManager {
        try await NetworkManager(runDirectory: folder.path, options: NetworkOptions(bridge: bridge, subnet: subnet))
    }

    @Test(.enabled(if: isInside)) func containersAreConnected() async throws {
        try NetlinkSocket().setUp("lo")
        let folder = try TemporaryFolder()
        let running = Identifier.make()
        let document = try await firstDaemon(folder, running)
        try await secondDaemon(folder, running, document)
        for _ in 0..<200 where !(try links().isEmpty) { usleep(20_000) }
        #expect(try links().isEmpty)
        #expect(try FileContents.names(in: folder.path + "/netns").isEmpty)
    }

    /// The default network has addresses that no interface of the host has, and keeps them.
    @Test(.enabled(if: isInside)) func defaultAddresses() async throws {
        let netlink = try NetlinkSocket()
        try netlink.createBridge("other0", address: [2, 0, 0, 0, 0, 9])
        let other = try #require(try netlink.links().first { $0.name == "other0" }).index
        try netlink.addAddress([172, 17, 0, 1], prefix: 16, to: other)
        let folders = [try TemporaryFolder(), try TemporaryFolder()]
        for _ in 1...2 {
            let own = try await manager(folders[0], subnet: nil)
            try await own.restore(networks: [], endpoints: [:])
            #expect(await own.networks.values.flatMap(\.subnets).map(\.subnet) == ["172.18.0.0/16"])
        }
        let taken = try await manager(folders[1], bridge: "skt1", subnet: "172.17.9.0/16")
        let error = try #require(
            await #expect(throws: SkalaError.self) { try await taken.restore(networks: [], endpoints: [:]) })
        #expect("\(error)".contains("the addresses 172.17.0.0/16: they are those of other0"), "\(error)")
        #expect(try links() == ["other0", "skt0"])
        for name in ["other0", "skt0"] { try netlink.deleteLink(name) }
    }

    /// Two engines that make networks at the same time, beside a name server of the host that has every address.
    @Test(.enabled(if: isInside)) func enginesTakeTurns() async throws {
        let hostServer = socket(AF_INET, Int32(SOCK_DGRAM.rawValue), 0)
        defer { close(hostServer) }
        var everywhere = sockaddr_in()
        everywhere.sin_family = sa_family_t(AF_INET)
        everywhere.sin_port = UInt16(53).bigEndian
        let bound = withUnsafePointer(to: &everywhere) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(hostServer, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        #expect(bound == 0)
        let folders = [try TemporaryFolder(), try TemporaryFolder()]
        var managers: [NetworkManager] = []
        for (number, folder) in folders.enumerated() {
            managers.append(try await manager(folder, bridge: "skt\(number)", subnet: "10.9.\(number).0/24"))
            try await managers[number].restore(networks: [], endpoints: [:])
        }
        let made = try await withThrowingTaskGroup(of: Network.self) { group in
            for number in 0..<12 {
                let manager = managers[number % 2]
                group.addTask { try await manager.create(NetworkRequest(json: ["Name": JSON("n\(number)")])) }
            }
            return try await group.reduce(into: []) { $0.append($1) }
        }
        #expect(Set(made.flatMap(\.subnets).map(\.subnet)).count == 12, "\(made.flatMap(\.subnets).map(\.subnet))")
        for network in made {
            for manager in managers where await manager.list().contains(where: { $0.id == network.id }) {
                try await manager.remove(network.id)
            }
        }
        for number in 0..<2 { try NetlinkSocket().deleteLink("skt\(number)") }
        #expect(try links().isEmpty)
    }

    /// Connects and disconnects; leaves `running` connected, and one namespace that belongs to nothing.
    private func firstDaemon(_ folder: TemporaryFolder, _ running: String) async throws -> JSON {
        let manager = try await manager(folder)
        try await manager.restore(networks: [], endpoints: [:])
        #expect(try links() == ["skt0"])
        let network = try await manager.create(
            NetworkRequest(json: ["Name": "front", "IPAM": ["Config": [["Subnet": "172.24.0.0/24"]]]]))
        let overlap = await #expect(throws: SkalaError.self) {
            try await manager.create(
                NetworkRequest(json: ["Name": "other", "IPAM": ["Config": [["Subnet": "172.24.0.0/16"]]]]))
        }
        #expect(overlap?.message.contains("overlaps") == true)

        let first = Identifier.make()
        let second = Identifier.make()
        _ = try await manager.makeNamespace(containerID: first)
        _ = try await manager.makeNamespace(containerID: second)
        let endpoint = try await manager.connect(containerID: first, request(network, "web"))
        #expect(endpoint.ipv4 == "172.24.0.2" && endpoint.gateway == "172.24.0.1" && endpoint.interface == "eth0")
        #expect(try links().count == 3, "two bridges and the host's end")
        for (wanted, code) in [("172.24.0.2", SkalaError.Code.conflict), ("10.0.0.1", .invalid)] {
            let error = await #expect(throws: SkalaError.self) {
                try await manager.connect(containerID: second, request(network, "two", ipv4: wanted))
            }
            #expect(error?.code == code)
        }
        #expect(try await manager.connect(containerID: second, request(network, "two")).ipv4 == "172.24.0.3")
        #expect(try links().count == 4, "what could not be connected left nothing")
        await #expect(throws: SkalaError.self) { try await manager.remove(network.id) }

        let ports = try await manager.publish(
            containerID: first, ports: [port(8080...8080, 80), port(nil, 53, ip: "127.0.0.1", name: "udp")])
        #expect(ports[0].hostPort == 8080 && ports[1].hostPort > 0)
        #expect(try nft().contains("tcp . 8080 : 172.24.0.2 . 80"))
        let allocated = await #expect(throws: SkalaError.self) {
            try await manager.publish(containerID: second, ports: [port(8080...8080, 1)])
        }
        #expect(allocated?.message.contains("port is already allocated") == true)
        // Of a range the first that is free, until none is.
        let ranged = try await manager.publish(
            containerID: second, ports: [port(8079...8081, 1), port(8079...8081, 2)])
        #expect(ranged.map(\.hostPort) == [8079, 8081])
        let full = await #expect(throws: SkalaError.self) {
            try await manager.publish(containerID: second, ports: [port(8079...8080, 3)])
        }
        #expect(full?.message.hasSuffix("all ports are allocated") == true)

        // The ports follow the container to its next network.
        let bridge = try await manager.find("bridge")
        #expect(try await manager.connect(containerID: first, request(bridge, "web")).interface == "eth1")
        try await manager.disconnect(containerID: first, networkID: network.id)
        #expect(try nft().contains("tcp . 8080 : 172.23.0.2 . 80"))
        #expect(try await manager.connect(containerID: first, request(network, "web")).interface == "eth0")
        await manager.destroySandbox(first)
        await manager.destroySandbox(second)
        try await membersOfAPod(manager, network)
        try await manager.remove(network.id)
        let rules = try nft()
        #expect(!rules.contains("172.24.") && !rules.contains("8080"), "neither ports nor rules are left")

        _ = try await manager.makeNamespace(containerID: running)
        _ = try await manager.makeNamespace(containerID: second)
        _ = try await manager.connect(containerID: running, request(bridge, "db", ipv4: "172.23.0.9"))
        _ = try await manager.publish(containerID: running, ports: [port(9090...9090, 90)])
        return await manager.document(of: running)
    }

    /// Containers of a pod have its address, names and ports of their own, and take only those with them.
    private func membersOfAPod(_ manager: NetworkManager, _ network: Network) async throws {
        let (pod, web, db) = (Identifier.make(), Identifier.make(), Identifier.make())
        await #expect(throws: SkalaError.self) { try await manager.join(containerID: web, pod: pod, names: ["web"]) }
        await manager.makeMachine(containerID: pod)
        let address = try await manager.connect(containerID: pod, request(network, "pod")).ipv4
        try await manager.join(containerID: web, pod: pod, names: ["web"])
        try await manager.join(containerID: db, pod: pod, names: ["db"])
        _ = try await manager.publish(containerID: web, ports: [port(7070...7070, 70)])
        _ = try await manager.publish(containerID: db, ports: [port(7071...7071, 71)])
        #expect(try nft().contains("tcp . 7070 : \(address) . 70") && nft().contains("tcp . 7071 : \(address) . 71"))
        #expect(await manager.endpoints(of: db).map(\.ipv4) == [address])
        #expect(await manager.document(of: db)["pod"].string == pod)
        await manager.destroySandbox(web)
        #expect(try !nft().contains("7070") && nft().contains("tcp . 7071 : \(address) . 71"))
        let taken = await #expect(throws: SkalaError.self) {
            let other = Identifier.make()
            await manager.makeMachine(containerID: other)
            _ = try await manager.connect(containerID: other, request(network, "x", ipv4: address))
        }
        #expect(taken?.code == .conflict, "the address is the pod's")
        await manager.destroySandbox(db)
        await manager.destroySandbox(pod)
        #expect(try !nft().contains("7071"))
    }

    /// Takes over what runs, and clears away what does not.
    private func secondDaemon(_ folder: TemporaryFolder, _ running: String, _ document: JSON) async throws {
        let manager = try await manager(folder)
        try await manager.restore(networks: [], endpoints: [running: document])
        #expect(try nft().contains("tcp . 9090 : 172.23.0.9 . 90"))
        #expect(await manager.endpoints(of: running).map(\.ipv4) == ["172.23.0.9"])
        #expect(try FileContents.names(in: folder.path + "/netns") == [running])
        await manager.destroySandbox(running)
        #expect(!(try nft().contains("9090")))
        try NetlinkSocket().deleteLink("skt0")
    }
}
