import Base
import Glibc
import Kernel
import TestSupport
import Testing

@testable import Networks

/// The manager with real bridges, namespaces and rules: in a network and mount namespace of the test's own, so that the
/// host sees nothing of it. The test runs itself again there, for a process with threads cannot change its namespace.
@Suite(.timeLimit(.minutes(2))) struct ManagerTests {
    private static let marker = "SKALA_TEST_NAMESPACE"
    private static let isInside = getenv(marker) != nil

    @Test(
        .enabled(if: getuid() == 0 && access("/usr/bin/unshare", X_OK) == 0, "needs root and unshare"),
        .disabled(if: isInside))
    func inANamespaceOfItsOwn() throws {
        var buffer = [CChar](repeating: 0, count: 4096)
        let count = readlink("/proc/self/exe", &buffer, buffer.count)
        let program = String(decoding: buffer.prefix(max(0, count)).map(UInt8.init(bitPattern:)), as: UTF8.self)
        let bundle = CommandLine.arguments.dropFirst().filter { $0.hasSuffix(".xctest") }
        let output = try TemporaryFolder()
        // The shell keeps what the tests print, for the case that they fail.
        let status = try Subprocess.run(
            [
                "/bin/sh", "-c", "log=$1; shift; exec \"$@\" >\"$log\" 2>&1", "sh", output.path + "/log",
                "/usr/bin/env",
                ManagerTests.marker + "=1", "/usr/bin/unshare", "--net", "--mount", program,
            ] + bundle + ["--testing-library", "swift-testing", "--filter", "NetworksTests.ManagerTests"])
        let text = try output.text("log")
        #expect(status == 0 && text.contains("containersAreConnected"), "\(text)")
    }

    private func nft() throws -> String { try Subprocess.output(["/usr/sbin/nft", "list", "ruleset"], limit: 1 << 20) }

    private func links() throws -> [String] { try NetlinkSocket().links().map(\.name).filter { $0 != "lo" }.sorted() }

    private func request(_ network: Network, _ name: String, ipv4: String? = nil) -> EndpointRequest {
        EndpointRequest(
            networkID: network.id, containerName: name, aliases: ["alias"], ipv4: ipv4, ipv6: nil, macAddress: nil,
            rate: nil)
    }

    @Test(.enabled(if: isInside)) func containersAreConnected() async throws {
        try NetlinkSocket().setUp("lo")
        let folder = try TemporaryFolder()
        let manager = try await NetworkManager(
            runDirectory: folder.path, options: NetworkOptions(bridge: "skt0", subnet: "172.23.0.0/16"))
        try await manager.restore(networks: [], endpoints: [:])
        #expect(try links() == ["skt0"])
        let network = try await manager.create(
            NetworkRequest(json: ["Name": "front", "IPAM": ["Config": [["Subnet": "172.24.0.0/24"]]]]))
        let overlap = await #expect(throws: SkalaError.self) {
            try await manager.create(
                NetworkRequest(json: ["Name": "other", "IPAM": ["Config": [["Subnet": "172.24.0.0/16"]]]]))
        }
        #expect(overlap?.message.contains("overlaps") == true)

        let id = Identifier.make()
        _ = try await manager.makeSandbox(containerID: id)
        let endpoint = try await manager.connect(containerID: id, request(network, "web"))
        #expect(endpoint.ipv4 == "172.24.0.2" && endpoint.gateway == "172.24.0.1" && endpoint.interface == "eth0")
        #expect(try links().count == 3, "two bridges and the host's end")
        let taken = Identifier.make()
        _ = try await manager.makeSandbox(containerID: taken)
        let inUse = await #expect(throws: SkalaError.self) {
            try await manager.connect(containerID: taken, request(network, "two", ipv4: "172.24.0.2"))
        }
        #expect(inUse?.code == .conflict)
        let outside = await #expect(throws: SkalaError.self) {
            try await manager.connect(containerID: taken, request(network, "two", ipv4: "10.0.0.1"))
        }
        #expect(outside?.code == .invalid)
        let second = try await manager.connect(containerID: taken, request(network, "two"))
        #expect(second.ipv4 == "172.24.0.3")

        let ports = try await manager.publish(
            containerID: id,
            ports: [
                PublishedPort(hostIP: "", hostPort: 8080, containerPort: 80, protocol: "tcp"),
                PublishedPort(hostIP: "127.0.0.1", hostPort: 0, containerPort: 53, protocol: "udp"),
            ])
        #expect(ports.map(\.hostPort)[0] == 8080 && ports[1].hostPort > 0)
        #expect(try nft().contains("tcp . 8080 : 172.24.0.2 . 80"))
        let allocated = await #expect(throws: SkalaError.self) {
            try await manager.publish(
                containerID: taken,
                ports: [PublishedPort(hostIP: "", hostPort: 8080, containerPort: 1, protocol: "tcp")])
        }
        #expect(allocated?.message.contains("port is already allocated") == true)
        await #expect(throws: SkalaError.self) { try await manager.remove(network.id) }
        await manager.destroySandbox(taken)
        try await manager.disconnect(containerID: id, networkID: network.id)
        try await manager.remove(network.id)
        await manager.destroySandbox(id)
        #expect(!(try nft().contains("172.24.")), "neither ports nor rules are left")

        // A new daemon takes over what runs, and clears away what does not.
        let running = Identifier.make()
        _ = try await manager.makeSandbox(containerID: running)
        _ = try await manager.makeSandbox(containerID: taken)
        _ = try await manager.connect(containerID: running, request(try await manager.find("bridge"), "db"))
        _ = try await manager.publish(
            containerID: running,
            ports: [PublishedPort(hostIP: "", hostPort: 9090, containerPort: 90, protocol: "tcp")])
        let document = await manager.document(of: running)
        let again = try await NetworkManager(
            runDirectory: folder.path, options: NetworkOptions(bridge: "skt0", subnet: "172.23.0.0/16"))
        try await again.restore(networks: [], endpoints: [running: document])
        #expect(try nft().contains("tcp . 9090 : 172.23.0.2 . 90"))
        #expect(await again.endpoints(of: running).map(\.ipv4) == ["172.23.0.2"])
        #expect(try FileContents.names(in: folder.path + "/netns") == [running])

        await again.destroySandbox(running)
        try await again.removeEverything()
        #expect(!(try nft().contains("skala_")))
        for _ in 0..<200 where !(try links().isEmpty) { usleep(20_000) }
        #expect(try links().isEmpty)
        #expect(try FileContents.names(in: folder.path + "/netns").isEmpty)
    }
}
