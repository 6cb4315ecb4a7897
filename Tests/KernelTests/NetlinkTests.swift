import CLinux
import Glibc
import TestSupport
import Testing

@testable import Kernel

/// Messages against the bytes the kernel's headers ask for (little-endian hosts).
struct NetlinkTests {
    @Test func aMessageIsItsBytes() {
        var message = NetlinkMessage(
            type: UInt16(RTM_NEWLINK), flags: UInt16(NLM_F_CREATE) | UInt16(NLM_F_EXCL),
            header: [UInt8](repeating: 0, count: 16))
        message.add(Int(IFLA_IFNAME), string: "br0")
        message.add(Int(IFLA_MTU), number: 1500)
        message.add(Int(IFLA_LINKINFO)) { $0.add(Int(IFLA_INFO_KIND), string: "bridge") }
        #expect(
            message.encoded(sequence: 1) == [
                0x40, 0, 0, 0,  // length 64
                0x10, 0,  // RTM_NEWLINK
                0x01, 0x06,  // NLM_F_REQUEST | NLM_F_EXCL | NLM_F_CREATE
                1, 0, 0, 0,  // sequence
                0, 0, 0, 0,  // port: the kernel fills it in
                0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,  // struct ifinfomsg
                8, 0, 3, 0, 0x62, 0x72, 0x30, 0,  // IFLA_IFNAME "br0"
                8, 0, 4, 0, 0xDC, 5, 0, 0,  // IFLA_MTU 1500
                16, 0, 18, 0,  // IFLA_LINKINFO, which holds
                11, 0, 1, 0, 0x62, 0x72, 0x69, 0x64, 0x67, 0x65, 0, 0,  // IFLA_INFO_KIND "bridge", padded
            ])
    }

    @Test func attributesAreSplit() {
        let bytes: [UInt8] = [
            8, 0, 3, 0, 0x62, 0x72, 0x30, 0, 5, 0, 1, 0x80, 7, 0, 0, 0, 4, 0, 9, 0, 8, 0, 4, 0, 1, 0, 0, 0,
        ]
        let attributes = NetlinkObject.parse(bytes[...])
        #expect(attributes == [3: [0x62, 0x72, 0x30, 0], 1: [7], 9: [], 4: [1, 0, 0, 0]])
        let object = NetlinkObject(header: [], attributes: attributes)
        #expect(
            object.string(3) == "br0" && object.number(4) == 1 && object.number(1) == nil && object.string(99) == nil)
    }

    @Test func malformedAttributesEndTheList() {
        for bytes: [UInt8] in [
            [], [8], [8, 0, 3], [3, 0, 1, 0, 9], [0, 0, 1, 0], [255, 255, 1, 0, 1], [8, 0, 1, 0, 1, 2, 3],
        ] {
            #expect(NetlinkObject.parse(bytes[...]).isEmpty)
        }
        var random = SeededRandom(seed: 5)
        for _ in 0..<2000 {
            let bytes = random.bytes(random.below(64)).map { $0 & 15 }
            for value in NetlinkObject.parse(bytes[...]).values { #expect(value.count < bytes.count) }
        }
    }

    /// Real interfaces, in a namespace that goes with the test.
    @Test(.enabled(if: getuid() == 0, "needs root")) func interfacesAreMadeInANamespace() async throws {
        let folder = try TemporaryFolder()
        let namespaces = try NetworkNamespaces()
        let (socket, namespace) = try await namespaces.create(at: folder.path + "/a")
        let (peer, other) = try await namespaces.create(at: folder.path + "/b")
        defer {
            NetworkNamespaces.remove(at: folder.path + "/a")
            NetworkNamespaces.remove(at: folder.path + "/b")
        }
        #expect(try socket.links().map(\.name) == ["lo"])
        #expect(try socket.links()[0].isUp)
        try socket.createBridge("br0", address: [2, 0, 0, 0, 0, 1])
        let exists = #expect(throws: KernelError.self) { try socket.createBridge("br0", address: [2, 0, 0, 0, 0, 1]) }
        #expect(exists?.errno == EEXIST && exists?.subject == "br0")
        let bridge = try #require(try socket.links().first { $0.name == "br0" })
        #expect(bridge.kind == "bridge" && !bridge.isUp)
        try socket.addAddress([10, 9, 0, 1], prefix: 24, to: bridge.index)
        try socket.setUp("br0")
        try socket.createVeth(
            "veth0", bridge: bridge.index, peer: "eth0", peerAddress: [2, 0x42, 10, 9, 0, 2], namespace: other.raw,
            mtu: 1400)
        #expect(Set(try socket.links().map(\.name)) == ["lo", "br0", "veth0"])
        let end = try #require(try peer.links().first { $0.name == "eth0" })
        #expect(end.kind == "veth")
        try peer.addAddress([10, 9, 0, 2], prefix: 24, to: end.index)
        try peer.setUp("eth0")
        try peer.addDefaultRoute(gateway: [10, 9, 0, 1], index: end.index)
        let addresses = try peer.addresses()
        #expect(addresses.contains { $0.index == end.index && $0.address == 0x0A09_0002 && $0.prefix == 24 })
        // The same namespace, opened again.
        let (again, _) = try await namespaces.open(folder.path + "/b")
        #expect(try again.links().contains { $0.name == "eth0" })
        try socket.deleteLink("veth0")
        #expect(try peer.links().map(\.name) == ["lo"])
        let gone = #expect(throws: KernelError.self) { try socket.deleteLink("veth0") }
        #expect(gone?.errno == ENODEV)
        withExtendedLifetime((namespace, other)) {}
    }

    /// Threads that share a socket get the answers to their own questions.
    @Test(.enabled(if: getuid() == 0, "needs root")) func threadsTakeTurns() async throws {
        let folder = try TemporaryFolder()
        let (socket, namespace) = try await NetworkNamespaces().create(at: folder.path + "/a")
        defer { NetworkNamespaces.remove(at: folder.path + "/a") }
        let threads = WorkerThreads(limit: 8)
        try await withThrowingTaskGroup(of: Void.self) { group in
            for number in 0..<8 {
                group.addTask {
                    try await threads.run {
                        for round in 0..<5 {
                            let name = "br\(number)x\(round)"
                            try socket.createBridge(name, address: [2, 0, 0, 0, UInt8(number), UInt8(round)])
                            guard try socket.links().contains(where: { $0.name == name }) else {
                                throw KernelError("list", name, errno: ENODEV)
                            }
                            try socket.deleteLink(name)
                        }
                    }
                }
            }
            try await group.waitForAll()
        }
        #expect(try socket.links().map(\.name) == ["lo"])
        withExtendedLifetime(namespace) {}
    }
}
