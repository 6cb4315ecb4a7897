import Base
import Glibc
import Kernel
import TestSupport

@testable import Networks

/// A network with members that serve, in the test's own network namespace.
final class BalancingWorld {
    /// Answers with its name and the client's address, by TCP and UDP; a TCP connection stays, and each line is answered.
    private static let server = """
        import socket, sys, threading
        name, port = sys.argv[1], int(sys.argv[2])
        def text(address): return (name + " " + address[0].removeprefix("::ffff:") + "\\n").encode()
        def datagrams(s):
            while True:
                data, address = s.recvfrom(100)
                s.sendto(text(address), address)
        def talk(c, address):
            c.sendall(text(address))
            while c.recv(100): c.sendall(text(address))
        def bound(kind):
            s = socket.socket(socket.AF_INET6, kind)
            s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            s.bind(("::", port))
            return s
        threading.Thread(target=datagrams, args=(bound(socket.SOCK_DGRAM),), daemon=True).start()
        s = bound(socket.SOCK_STREAM)
        s.listen(64)
        open(sys.argv[3], "w").close()
        while True:
            threading.Thread(target=talk, args=s.accept(), daemon=True).start()
        """
    /// Prints an answer, or an error's name, a line. `tcp` and `udp` ask anew each time; `keep` and `keepudp` ask once,
    /// wait for a file, and ask again by the same socket.
    private static let client = """
        import os, socket, sys, time
        kind, host, port, count, source, gate = sys.argv[1:7]
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        def made():
            s = socket.socket(family, socket.SOCK_DGRAM if "udp" in kind else socket.SOCK_STREAM)
            s.settimeout(1 if "udp" in kind else 20)
            if source: s.bind((source, 0))
            s.connect((host, int(port)))
            if "udp" in kind: s.send(b"x")
            return s
        def attempt(body):
            try: print(body().recv(100).decode().strip() or "closed", flush=True)
            except Exception as error: print(type(error).__name__, flush=True)
        if not kind.startswith("keep"):
            for _ in range(int(count)): attempt(made)
        else:
            s = made()
            attempt(lambda: s)
            open(gate + ".asked", "w").close()
            while not os.path.exists(gate): time.sleep(0.01)
            def again():
                s.send(b"x")
                return s
            for _ in range(int(count)):
                attempt(again)
                time.sleep(0.05)
        """

    let folder: TemporaryFolder
    private(set) var manager: NetworkManager
    private(set) var network: Network
    private var processes: [String: pid_t] = [:]

    init() async throws {
        try NetlinkSocket().setUp("lo")
        // Of the test before: an engine leaves its tables.
        _ = try Subprocess.run(["/usr/sbin/nft", "flush ruleset"])
        folder = try TemporaryFolder()
        try folder.write("server.py", Array(BalancingWorld.server.utf8))
        try folder.write("client.py", Array(BalancingWorld.client.utf8))
        manager = try await BalancingWorld.manager(folder)
        try await manager.restore(networks: [], endpoints: [:])
        network = try await manager.create(
            NetworkRequest(json: [
                "Name": "front", "EnableIPv6": true,
                "IPAM": ["Config": [["Subnet": "10.234.1.0/24"], ["Subnet": "fd00:ea::/64"]]],
            ]))
    }

    private static func manager(_ folder: TemporaryFolder) async throws -> NetworkManager {
        try await NetworkManager(
            runDirectory: folder.path, options: NetworkOptions(bridge: "skbl0", subnet: "10.234.0.0/24"))
    }

    /// A new daemon takes over; the one before has been killed.
    func restart(keeping containers: [String]) async throws {
        var documents: [String: JSON] = [:]
        for container in containers { documents[container] = await manager.document(of: container) }
        manager = try await BalancingWorld.manager(folder)
        try await manager.restore(networks: [network], endpoints: documents)
    }

    /// A container's place on networks, without a server.
    @discardableResult
    func place(_ name: String, on networks: [Network]? = nil) async throws -> String {
        let path = try await manager.makeNamespace(containerID: name)
        for network in networks ?? [network] {
            _ = try await manager.connect(
                containerID: name,
                EndpointRequest(
                    networkID: network.id, containerName: name, aliases: [], ipv4: nil, ipv6: nil, macAddress: nil,
                    rate: nil))
        }
        return path
    }

    /// A member that serves at port 8000.
    func serve(_ name: String) async throws {
        let path = try await place(name)
        let ready = folder.path + "/ready-" + name
        unlink(ready)
        processes[name] = try Subprocess.spawn([
            "/usr/bin/nsenter", "--net=" + path, "/usr/bin/python3", folder.path + "/server.py", name, "8000", ready,
        ])
        for _ in 0..<1000 where access(ready, F_OK) != 0 { usleep(10_000) }
    }

    /// Kills a member's server, and frees its place.
    func end(_ name: String) async throws {
        try stop(name)
        await manager.destroySandbox(name)
    }

    private func stop(_ name: String) throws {
        guard let pid = processes.removeValue(forKey: name) else { return }
        kill(pid, SIGKILL)
        _ = try Subprocess.wait(pid)
    }

    /// A machine beside the host, 192.0.2.2 and fd00:bb::2.
    func outside() async throws {
        let path = try await manager.makeNamespace(containerID: "outside")
        let enter = ["/usr/bin/nsenter", "--net=" + path]
        for command in [
            ["ip", "link", "add", "out0", "type", "veth", "peer", "name", "eth0", "netns", path],
            ["ip", "address", "add", "192.0.2.1/24", "dev", "out0"],
            ["ip", "-6", "address", "add", "fd00:bb::1/64", "dev", "out0", "nodad"],
            ["ip", "link", "set", "out0", "up"],
            enter + ["ip", "address", "add", "192.0.2.2/24", "dev", "eth0"],
            enter + ["ip", "-6", "address", "add", "fd00:bb::2/64", "dev", "eth0", "nodad"],
            enter + ["ip", "link", "set", "eth0", "up"],
            enter + ["ip", "route", "add", "default", "via", "192.0.2.1"],
        ] {
            let arguments = command[0] == "ip" ? ["/usr/bin/env"] + command : command
            guard try Subprocess.run(arguments) == 0 else { throw KernelError("run", "\(command)", errno: EIO) }
        }
    }

    /// - Parameter place: nil is the host.
    private func command(
        _ kind: String, _ host: String, _ port: UInt16, _ count: Int, from place: String?, source: String, gate: String
    ) -> [String] {
        (place.map { ["/usr/bin/nsenter", "--net=\(folder.path)/netns/\($0)"] } ?? []) + [
            "/usr/bin/python3", folder.path + "/client.py", kind, host, "\(port)", "\(count)", source, gate,
        ]
    }

    func ask(
        _ host: String, _ port: UInt16 = 8000, by kind: String = "tcp", times count: Int = 1, from place: String?,
        source: String = ""
    ) async throws -> [String] {
        try await asking(host, port, by: kind, times: count, from: place, source: source).value
    }

    /// Goes on asking beside.
    func asking(
        _ host: String, _ port: UInt16 = 8000, by kind: String = "tcp", times count: Int, from place: String?,
        source: String = ""
    ) -> Task<[String], any Error> {
        let command = command(kind, host, port, count, from: place, source: source, gate: "")
        return Task {
            let text = try await WorkerThreads(limit: 1).run { try Subprocess.output(command, limit: 1 << 20) }
            return text.split(separator: "\n").map(String.init)
        }
    }

    /// Asks once, does `body`, and asks again by the same socket.
    func keeping(
        _ kind: String, _ host: String, _ port: UInt16 = 8000, times count: Int = 1, from place: String?,
        _ body: () async throws -> Void
    ) async throws -> [String] {
        let gate = folder.path + "/gate-\(UInt32.random(in: 0 ... .max))"
        let command = command("keep" + kind, host, port, count, from: place, source: "", gate: gate)
        async let text = WorkerThreads(limit: 1).run { try Subprocess.output(command, limit: 1 << 20) }
        for _ in 0..<500 where access(gate + ".asked", F_OK) != 0 { usleep(10_000) }
        try await body()
        try FileContents.overwrite(gate, with: [])
        return try await text.split(separator: "\n").map(String.init)
    }

    /// Removes everything; what is left over is the test's to find.
    func end() async throws {
        for name in processes.keys.sorted() { try stop(name) }
        for name in try FileContents.names(in: folder.path + "/netns") { await manager.destroySandbox(name) }
        for network in await manager.list() where network.name == "front" || network.name == "back" {
            try await manager.remove(network.id)
        }
        for link in try NetlinkSocket().links() where ["skbl0", "out0"].contains(link.name) {
            // It may go by itself, with its peer's namespace.
            try? NetlinkSocket().deleteLink(link.name)
        }
    }
}
