import Base
import Glibc
import Kernel
import TestSupport
import Testing

@testable import Networks

/// The balancer with real servers and clients in namespaces.
@Suite(.serialized, .timeLimit(.minutes(3))) struct BalancingTests {
    private static let isInside = OwnNamespace.isInside

    @Test(.disabled(if: isInside)) func inANamespaceOfItsOwn() async throws {
        guard try OwnNamespace.isPossible(for: "BalancingTests", with: ["/usr/bin/python3"]) else { return }
        let (status, text) = try await OwnNamespace.run("BalancingTests")
        #expect(status == 0 && text.contains("everybodyReachesAService"), "\(text)")
        #expect(text.contains("deletedRulesComeBack"), "\(text)")
        for line in text.split(separator: "\n") where line.contains("measured:") { print(line) }
    }

    private func rules() throws -> String {
        try Subprocess.output(["/usr/sbin/nft", "list", "ruleset"], limit: 1 << 22)
    }

    /// The rules' words: the kernel lists elements in an order of its own.
    private func words() throws -> [Substring] { try rules().split { " \t\n,".contains($0) }.sorted() }

    private func spec(
        _ world: BalancingWorld, _ members: [(String, Int)], _ algorithm: BalancingAlgorithm = .roundRobin,
        ports: [(UInt16, String)] = []
    ) -> BalancedService {
        BalancedService(
            id: "web", attachments: [.init(networkID: world.network.id, names: ["web"])],
            ports: ports.map {
                PortRequest(hostIP: "", hostPorts: $0.0...$0.0, containerPort: 8000, protocol: $0.1)
            },
            algorithm: algorithm, members: members.map { BalancedMember(id: $0.0, weight: $0.1) })
    }

    private func counted(_ answers: [String]) -> [String: Int] {
        answers.reduce(into: [:]) { counts, answer in
            counts[String(answer.split(separator: " ").first ?? ""), default: 0] += 1
        }
    }

    /// The clients' addresses that members saw.
    private func clients(_ answers: [String]) -> Set<String> {
        Set(answers.map { String($0.split(separator: " ").last ?? "") })
    }

    @Test(.enabled(if: isInside)) func everybodyReachesAService() async throws {
        let world = try await BalancingWorld()
        for name in ["a", "b", "c"] { try await world.serve(name) }
        try await world.place("client")
        try await world.outside()
        let service = try await world.manager.setService(
            spec(world, [("a", 1), ("b", 1), ("c", 1)], ports: [(80, "tcp"), (81, "udp")]))
        let (ipv4, ipv6) = (service.attachments[0].ipv4, service.attachments[0].ipv6)
        #expect(await world.manager.balancer.keepsClients == true)
        let even = ["a": 4, "b": 4, "c": 4]

        let own = await world.manager.endpoints(of: "client")[0]
        for (address, client) in [(ipv4, own.ipv4), (ipv6, own.ipv6)] {
            for kind in ["tcp", "udp"] {
                let answers = try await world.ask(address, by: kind, times: 12, from: "client")
                #expect(counted(answers) == even, "\(kind) \(address): \(answers)")
                #expect(clients(answers) == [client], "the client's address is kept")
            }
        }
        // A member that comes to itself is seen under the network's own address; to the others under its own.
        let member = await world.manager.endpoints(of: "a")[0]
        for (kind, address) in [("tcp", ipv4), ("udp", ipv4), ("tcp", ipv6), ("udp", ipv6)] {
            let answers = try await world.ask(address, by: kind, times: 12, from: "a")
            #expect(counted(answers) == even, "\(kind) \(address): \(answers)")
        }
        #expect(clients(try await world.ask(ipv4, times: 3, from: "a")) == [member.ipv4, "10.234.1.1"])
        // Directly, as ever.
        #expect(try await world.ask(member.ipv4, times: 2, from: "client") == ["a \(own.ipv4)", "a \(own.ipv4)"])
        #expect(try await world.ask(own.ipv4, 9, from: "a") == ["ConnectionRefusedError"])

        // From outside by the published ports, with the client's address; the service's own address is not for it.
        let outside = try await world.ask("192.0.2.1", 80, times: 12, from: "outside")
        #expect(counted(outside) == even && clients(outside) == ["192.0.2.2"], "\(outside)")
        #expect(counted(try await world.ask("192.0.2.1", 81, by: "udp", times: 12, from: "outside")) == even)
        let outside6 = try await world.ask("fd00:bb::1", 80, times: 12, from: "outside")
        #expect(counted(outside6) == even && clients(outside6) == ["fd00:bb::2"], "\(outside6)")
        #expect(try await world.ask(ipv4, from: "outside") == ["ConnectionRefusedError"])
        // Through the host's address from the same network, and from itself.
        #expect(clients(try await world.ask("192.0.2.1", 80, times: 12, from: "client")) == [own.ipv4])
        #expect(counted(try await world.ask("192.0.2.1", 80, times: 12, from: "a")) == even)
        // From the host: loopback, its own address, the service's.
        for (kind, address, port) in [
            ("tcp", "127.0.0.1", 80), ("tcp", "192.0.2.1", 80), ("udp", "127.0.0.1", 81), ("tcp", ipv4, 8000),
            ("tcp", ipv6, 8000), ("udp", ipv4, 8000),
        ] as [(String, String, UInt16)] {
            let answers = try await world.ask(address, port, by: kind, times: 12, from: nil)
            #expect(counted(answers) == even, "from the host, \(kind) \(address): \(answers)")
        }
        #expect(try await world.ask("::1", 80, from: nil) == ["ConnectionRefusedError"])
        #expect(try await world.ask(ipv4, 22, from: "client") == ["ConnectionRefusedError"], "the member has none")

        try await otherNetworksAreRefused(world, ipv4)
        try await world.manager.removeService("web")
        #expect(try !rules().contains("_services"), "no table is left")
        let bridge = try #require(await world.manager.bridges[world.network.id])
        #expect(try NetlinkSocket().addresses(of: bridge).filter { $0.prefix == 32 || $0.prefix == 128 }.isEmpty)
        #expect(try FileContents.names(in: world.folder.path + "/services").isEmpty)
        #expect(try await world.ask("192.0.2.1", 80, from: "outside") == ["ConnectionRefusedError"])
        try await world.end()
    }

    private func otherNetworksAreRefused(_ world: BalancingWorld, _ address: String) async throws {
        let back = try await world.manager.create(
            NetworkRequest(json: ["Name": "back", "IPAM": ["Config": [["Subnet": "10.234.2.0/24"]]]]))
        try await world.place("stranger", on: [back])
        #expect(try await world.ask(address, from: "stranger") == ["ConnectionRefusedError"])
        let seen = try await world.ask("192.0.2.1", 80, times: 3, from: "stranger")
        let own = await world.manager.endpoints(of: "stranger")[0].ipv4
        #expect(clients(seen) == [own], "published ports are for all, with their address: \(seen)")
        await world.manager.destroySandbox("stranger")
        // A container's published port is not reached by a service's address, nor is the host's own server.
        try await world.serve("single")
        _ = try await world.manager.publish(
            containerID: "single",
            ports: [PortRequest(hostIP: "", hostPorts: 90...90, containerPort: 8000, protocol: "tcp")])
        #expect(try await world.ask("192.0.2.1", 90, from: "outside").first?.hasPrefix("single") == true)
        #expect(try await world.ask(address, 90, from: "client") == ["ConnectionRefusedError"])
        let taken = await #expect(throws: SkalaError.self) {
            try await world.manager.setService(
                BalancedService(
                    id: "other", attachments: [],
                    ports: [PortRequest(hostIP: "", hostPorts: 90...90, containerPort: 1, protocol: "tcp")]))
        }
        #expect(taken?.code == .conflict)
        #expect(await world.manager.service("other") == nil)
    }

    @Test(.enabled(if: isInside)) func algorithmsChooseAsTheySay() async throws {
        let world = try await BalancingWorld()
        for name in ["a", "b", "c"] { try await world.serve(name) }
        try await world.place("client")
        try await world.outside()
        let weighted = try await world.manager.setService(spec(world, [("a", 3), ("b", 1)]))
        let address = weighted.attachments[0].ipv4
        #expect(counted(try await world.ask(address, times: 40, from: "client")) == ["a": 30, "b": 10])

        let random = try await world.manager.setService(spec(world, [("a", 3), ("b", 1)], .random))
        #expect(random.attachments[0].ipv4 == address, "the address stays")
        let drawn = counted(try await world.ask(address, times: 400, from: "client"))
        // 300 expected, standard deviation 8.7: six of them.
        #expect((248...352).contains(drawn["a"] ?? 0), "\(drawn)")

        try await world.manager.setService(
            spec(world, [("a", 1), ("b", 1), ("c", 1)], .sourceHash, ports: [(80, "tcp")]))
        let first = counted(try await world.ask(address, times: 20, from: "client"))
        #expect(first.count == 1, "one client, one member: \(first)")
        let chosen = try #require(first.keys.first)
        for other in ["a", "b", "c"] where other != chosen {
            let left = ["a", "b", "c"].filter { $0 != other }.map { BalancedMember(id: $0) }
            try await world.manager.setMembers(of: "web", left)
            #expect(counted(try await world.ask(address, times: 10, from: "client")) == [chosen: 10])
        }
        // Many clients come to all of them.
        var seen: Set<String> = []
        for number in 1...12 {
            let source = "127.0.0.\(number)"
            seen.formUnion(counted(try await world.ask("127.0.0.1", 80, from: nil, source: source)).keys)
        }
        #expect(seen.count >= 2, "\(seen)")
        try await world.manager.removeService("web")
        try await world.end()
    }

    @Test(.enabled(if: isInside)) func whoLeavesKeepsItsConnections() async throws {
        let world = try await BalancingWorld()
        for name in ["a", "b"] { try await world.serve(name) }
        try await world.place("client")
        try await world.outside()
        let service = try await world.manager.setService(
            spec(world, [("a", 1)], ports: [(80, "tcp"), (81, "udp")]))
        let address = service.attachments[0].ipv4
        for (host, port, place) in [(address, 8000, "client"), ("192.0.2.1", 80, "outside")]
            as [(String, UInt16, String)]
        {
            try await world.manager.setMembers(of: "web", [BalancedMember(id: "a")])
            let kept = try await world.keeping("", host, port, from: place) {
                try await world.manager.setMembers(of: "web", [BalancedMember(id: "b")])
                #expect(counted(try await world.ask(host, port, times: 10, from: place)) == ["b": 10])
            }
            #expect(counted(kept) == ["a": 2], "\(kept)")
        }
        try await noConnectionFails(world, address)
        try await changesAreFast(world, "round robin")
        try await world.manager.setService(spec(world, [("a", 1)], .sourceHash, ports: [(80, "tcp"), (81, "udp")]))
        try await changesAreFast(world, "source hash")

        // Without members it refuses at once.
        try await world.manager.setMembers(of: "web", [])
        let start = SystemClock.monotonicNanoseconds()
        for (kind, host, port, place) in [
            ("tcp", address, 8000, "client"), ("udp", address, 8000, "client"), ("tcp", "192.0.2.1", 80, "outside"),
            ("udp", "192.0.2.1", 81, "outside"), ("tcp", "127.0.0.1", 80, nil),
            ("tcp", service.attachments[0].ipv6, 8000, "client"), ("udp", service.attachments[0].ipv6, 8000, "client"),
        ] as [(String, String, UInt16, String?)] {
            let answers = try await world.ask(host, port, by: kind, from: place)
            #expect(answers == ["ConnectionRefusedError"], "\(kind) \(host) from \(place ?? "the host")")
        }
        #expect(SystemClock.monotonicNanoseconds() - start < 30_000_000_000)
        try await datagramsMoveOn(world, address)
        try await world.manager.removeService("web")
        try await world.end()
    }

    /// A client that keeps sending from one port comes to another member when its own dies.
    private func datagramsMoveOn(_ world: BalancingWorld, _ address: String) async throws {
        for (host, port, place) in [(address, 8000, "client"), ("192.0.2.1", 81, "outside")]
            as [(String, UInt16, String)]
        {
            try await world.serve("dying")
            try await world.manager.setMembers(of: "web", [BalancedMember(id: "dying")])
            let answers = try await world.keeping("udp", host, port, times: 3, from: place) {
                try await world.manager.setMembers(of: "web", [BalancedMember(id: "dying"), BalancedMember(id: "b")])
                // Its end alone takes it out.
                try await world.end("dying")
            }
            #expect(counted(answers) == ["dying": 1, "b": 3], "\(answers)")
            let members = await world.manager.service("web")?.members ?? []
            #expect(members.filter { $0.weight > 0 }.map(\.id) == ["b"], "\(members)")
        }
    }

    /// Members come and go all the time, and each new connection finds one.
    private func noConnectionFails(_ world: BalancingWorld, _ address: String) async throws {
        try await world.serve("c")
        let inside = world.asking(address, times: 1500, from: "client")
        let outside = world.asking("192.0.2.1", 80, times: 1500, from: "outside")
        var changes = 0
        let deadline = SystemClock.monotonicNanoseconds() + 2_000_000_000
        while SystemClock.monotonicNanoseconds() < deadline {
            let members = [["a"], ["a", "b", "c"], ["b", "c"], ["c"], ["a", "c"]][changes % 5]
            try await world.manager.setMembers(of: "web", members.map { BalancedMember(id: $0) })
            changes += 1
        }
        let answers = try await inside.value + outside.value
        let counts = counted(answers)
        #expect(counts.keys.sorted() == ["a", "b", "c"] && answers.count == 3000, "\(counts)")
        print("measured: \(answers.count) connections under \(changes) changes of members: \(counts)")
    }

    private func changesAreFast(_ world: BalancingWorld, _ what: String) async throws {
        var times: [Double] = []
        for number in 0..<20 {
            let members = number % 2 == 0 ? ["a", "b"] : ["a"]
            let start = SystemClock.monotonicNanoseconds()
            try await world.manager.setMembers(of: "web", members.map { BalancedMember(id: $0) })
            times.append(Double(SystemClock.monotonicNanoseconds() - start) / 1e6)
            try await Task.sleep(nanoseconds: 30_000_000)
        }
        times.sort()
        print("measured: change of members (\(what)), ms: median \(times[10]), worst \(times[19])")
    }

    /// A member's process has died, and nobody has noticed yet: who connects at that moment comes to another member.
    @Test(.enabled(if: isInside)) func whoMeetsADeadMemberComesToAnother() async throws {
        let world = try await BalancingWorld()
        try await world.serve("b")
        for name in ["client", "deaf"] { try await world.place(name) }
        try await world.outside()
        let service = try await world.manager.setService(spec(world, [("deaf", 1)], ports: [(80, "tcp")]))
        let (address, address6) = (service.attachments[0].ipv4, service.attachments[0].ipv6)
        // One that runs on and does not listen is told of, at the client's second try.
        for host in [address, address6] {
            #expect(try await world.ask(host, from: "client") == ["ConnectionRefusedError"])
        }
        let waiting = [(address, UInt16(8000), "client"), (address6, 8000, "client"), ("192.0.2.1", 80, "outside")].map
        {
            world.asking($0.0, $0.1, times: 1, from: $0.2)
        }
        // Refused by now, most likely; who comes later finds the other member at once.
        try await Task.sleep(nanoseconds: 500_000_000)
        try await world.manager.setMembers(of: "web", [BalancedMember(id: "deaf"), BalancedMember(id: "b")])
        await world.manager.destroySandbox("deaf")
        for answers in waiting {
            let names = counted(try await answers.value)
            #expect(names == ["b": 1], "\(names)")
        }
        try await world.manager.removeService("web")
        try await world.end()
    }

    @Test(.enabled(if: isInside)) func deletedRulesComeBack() async throws {
        let world = try await BalancingWorld()
        for name in ["a", "b", "single"] { try await world.serve(name) }
        try await world.place("client")
        let service = try await world.manager.setService(spec(world, [("a", 1), ("b", 1)], ports: [(80, "tcp")]))
        _ = try await world.manager.publish(
            containerID: "single",
            ports: [PortRequest(hostIP: "", hostPorts: 90...90, containerPort: 8000, protocol: "tcp")])
        let address = service.attachments[0].ipv4
        let all = try words()
        let tables = await world.manager.balancer.tables
        let slots = all.first { $0.hasPrefix("slots_") } ?? ""
        #expect(!slots.isEmpty)
        for command in [
            "flush ruleset", "delete table ip \(tables)", "flush chain ip \(tables) to_service",
            "delete element ip \(tables) \(slots) { 0 }", "flush map ip \(tables) services",
            "add rule ip \(tables) services_in drop", "flush chain ip \(await world.manager.firewall.table) prerouting",
        ] {
            #expect(try Subprocess.run(["/usr/sbin/nft", command]) == 0)
            let start = SystemClock.monotonicNanoseconds()
            while try words() != all, SystemClock.monotonicNanoseconds() - start < 5_000_000_000 { usleep(5000) }
            let time = Double(SystemClock.monotonicNanoseconds() - start) / 1e6
            let difference = Set(try words()).symmetricDifference(all)
            #expect(time < 1000, "\(command): \(difference)")
            print("measured: rules are back, ms: \(time)")
        }
        #expect(counted(try await world.ask(address, times: 4, from: "client")) == ["a": 2, "b": 2])
        #expect(try await world.ask("127.0.0.1", 90, from: nil).first?.hasPrefix("single") == true)

        // A daemon that was killed leaves the rules, and the next one has the same, without who has ended meanwhile.
        let before = try words()
        let kept = try await world.keeping("", address, times: 2, from: "client") {
            try await world.restart(keeping: ["a", "single", "client"])
        }
        #expect(kept.count == 3 && counted(kept).count == 1 && !kept.contains("closed"), "\(kept)")
        #expect(await world.manager.service("web")?.attachments == service.attachments)
        #expect(await world.manager.service("web")?.members.map(\.id) == ["a"])
        let answers = try await world.ask(address, times: 4, from: "client")
        #expect(counted(answers) == ["a": 4], "\(answers)")
        #expect(try words() != before)
        let conflict = await #expect(throws: SkalaError.self) {
            try await world.place("thief")
            await world.manager.destroySandbox("thief")
            _ = try await world.manager.makeNamespace(containerID: "thief")
            _ = try await world.manager.connect(
                containerID: "thief",
                EndpointRequest(
                    networkID: world.network.id, containerName: "t", aliases: [], ipv4: address, ipv6: nil,
                    macAddress: nil, rate: nil))
        }
        #expect(conflict?.code == .conflict, "nobody else gets the address")
        await #expect(throws: SkalaError.self) { try await world.manager.remove(world.network.id) }
        // An address and tables that belong to nothing any more are removed with the next start.
        unlink(world.folder.path + "/services/web.json")
        try await world.restart(keeping: ["a", "single", "client"])
        #expect(try !rules().contains("_services"))
        let bridge = try #require(await world.manager.bridges[world.network.id])
        #expect(try NetlinkSocket().addresses(of: bridge).filter { $0.prefix == 32 || $0.prefix == 128 }.isEmpty)
        try await world.end()
    }
}
