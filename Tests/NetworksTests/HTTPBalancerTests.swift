import Base
import Glibc
import Kernel
import TestSupport
import Testing

@testable import Networks

/// The real HAProxy in front of real servers, on loopback in a namespace of the test's own.
@Suite(.serialized, .timeLimit(.minutes(3))) struct HTTPBalancerTests {
    private static let isInside = OwnNamespace.isInside
    private static let tools = ["/usr/sbin/haproxy", "/usr/bin/python3", "/usr/bin/openssl"]

    @Test(.disabled(if: isInside)) func inANamespaceOfItsOwn() async throws {
        guard try OwnNamespace.isPossible(for: "HTTPBalancerTests", with: HTTPBalancerTests.tools) else { return }
        let (status, text) = try await OwnNamespace.run("HTTPBalancerTests")
        #expect(status == 0 && text.contains("requestsFindTheirService"), "\(text)")
        for line in text.split(separator: "\n") where line.contains("measured:") { print(line) }
    }

    /// Answers each path with its name, the host asked for and the client; `/slow` after 0.5 s, `/long` the body 90 s after the head,
    /// `/break` by hanging up.
    private static let server = """
        import http.server, socketserver, sys, time
        name, address = sys.argv[1], sys.argv[2]
        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            def do_GET(self):
                if self.path == "/slow": time.sleep(0.5)
                if self.path == "/break": self.connection.close(); sys.exit()
                body = f"{name} {self.headers['Host']} {self.headers['X-Forwarded-For']} " \\
                    f"{self.headers.get('X-Forwarded-Proto', 'http')}".encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if self.path == "/long": time.sleep(90)
                self.wfile.write(body)
            def log_message(self, *a): pass
        class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
            daemon_threads = True
            request_queue_size = 128
            def handle_error(self, *a): pass
        Server((address, 8000), Handler).serve_forever()
        """
    /// `URL COUNT [HOST]`: an answer a line, or the status; `load URL SECONDS` prints how many failed, and of how many.
    private static let client = """
        import socket, ssl, sys, threading, time, urllib.request, urllib.error
        # Whatever proxy the machine has is for others.
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=ssl._create_unverified_context()))
        def ask(url, host=None):
            request = urllib.request.Request(url, headers={"Host": host} if host else {})
            try: return opener.open(request, timeout=90 if url.endswith("/long") else 5).read().decode()
            except urllib.error.HTTPError as error: return str(error.code)
            except Exception as error: return type(error).__name__ + " " + str(error)
        if sys.argv[1] != "load":
            for _ in range(int(sys.argv[2])): print(ask(sys.argv[1], *sys.argv[3:]))
        else:
            end, results = time.time() + float(sys.argv[3]), []
            def run():
                while time.time() < end: results.append(ask(sys.argv[2]))
            threads = [threading.Thread(target=run) for _ in range(4)]
            for t in threads: t.start()
            for t in threads: t.join()
            print([r for r in results if not r.startswith("m")][:3], len(results))
        """

    private final class World {
        let folder: TemporaryFolder
        var servers: [String: pid_t] = [:]

        init() throws {
            try NetlinkSocket().setUp("lo")
            folder = try TemporaryFolder()
            try folder.write("server.py", Array(HTTPBalancerTests.server.utf8))
            try folder.write("client.py", Array(HTTPBalancerTests.client.utf8))
        }

        func serve(_ number: Int) throws -> HTTPService.Member {
            let address = "127.0.1.\(number)"
            servers["m\(number)"] = try Subprocess.spawn([
                "/usr/bin/python3", folder.path + "/server.py", "m\(number)", address,
            ])
            var left = 300
            while left > 0, try ask("http://\(address):8000/", 1).first?.hasPrefix("m") != true {
                left -= 1
                usleep(10_000)
            }
            return HTTPService.Member(id: "m\(number)", address: try IPAddress(parsing: address), port: 8000)
        }

        func ask(_ url: String, _ count: Int, host: String? = nil) throws -> [String] {
            let command = ["/usr/bin/python3", folder.path + "/client.py", url, "\(count)"] + (host.map { [$0] } ?? [])
            return try Subprocess.output(command, limit: 1 << 20).split(separator: "\n").map(String.init)
        }

        func kill(_ id: String) throws {
            guard let pid = servers.removeValue(forKey: id) else { return }
            Glibc.kill(pid, SIGKILL)
            _ = try Subprocess.wait(pid)
        }

        deinit { for pid in servers.values { Glibc.kill(pid, SIGKILL) } }
    }

    private func counted(_ answers: [String]) -> [String: Int] {
        answers.reduce(into: [:]) { $0[String($1.split(separator: " ").first ?? ""), default: 0] += 1 }
    }

    @Test(.enabled(if: isInside)) func requestsFindTheirService() async throws {
        let world = try World()
        let balancer = HTTPBalancer(folder: world.folder.path + "/h")
        let members = try (1...3).map { try world.serve($0) }
        try await balancer.set(
            HTTPService(
                id: "web", listeners: [.init(port: 8080)], routes: [.init(host: "web.example")],
                members: Array(members[..<2])))
        try await balancer.set(
            HTTPService(
                id: "api", listeners: [.init(port: 8080)], routes: [.init(host: "web.example", path: "/api")],
                members: [members[2]]))
        #expect(counted(try world.ask("http://127.0.0.1:8080/", 8, host: "Web.Example:8080")) == ["m1": 4, "m2": 4])
        #expect(
            try world.ask("http://127.0.0.1:8080/api/x", 1, host: "web.example") == ["m3 web.example 127.0.0.1 http"])
        #expect(counted(try world.ask("http://127.0.0.1:8080/apix", 2, host: "web.example")) == ["m1": 1, "m2": 1])
        #expect(try world.ask("http://127.0.0.1:8080/", 1, host: "other.example") == ["404"])

        // Members change in the process that runs.
        let pid = try #require(await balancer.processID)
        let start = SystemClock.monotonicNanoseconds()
        try await balancer.setMembers(of: "web", [members[1]])
        print("measured: change of HTTP members, ms: \(Double(SystemClock.monotonicNanoseconds() - start) / 1e6)")
        #expect(counted(try world.ask("http://127.0.0.1:8080/", 4, host: "web.example")) == ["m2": 4])
        try await balancer.setMembers(of: "web", [members[1], members[0]])
        #expect(counted(try world.ask("http://127.0.0.1:8080/", 8, host: "web.example")) == ["m1": 4, "m2": 4])
        #expect(await balancer.processID == pid)
        try await balancer.setMembers(of: "web", [])
        #expect(try world.ask("http://127.0.0.1:8080/", 1, host: "web.example") == ["503"])

        let metrics = try #require(try await balancer.metrics()["web"])
        #expect(metrics.requests == 23 && metrics.concurrency == 0 && metrics.serverErrors == 1, "\(metrics)")
        try await wrongInputChangesNothing(world, balancer, pid)
        try await tls(world, balancer, members[0])
        try await end(world, balancer)
    }

    private func wrongInputChangesNothing(_ world: World, _ balancer: HTTPBalancer, _ pid: Int32) async throws {
        let certificate = await #expect(throws: SkalaError.self) {
            try await balancer.set(
                HTTPService(id: "bad", listeners: [.init(port: 8443, certificate: "not a certificate")]))
        }
        #expect(certificate?.code == .invalid, "\(certificate?.message ?? "")")
        let taken = await #expect(throws: SkalaError.self) {
            try await balancer.set(HTTPService(id: "bad", listeners: [.init(address: "127.0.1.1", port: 8000)]))
        }
        #expect(taken?.message.contains("8000") == true, "\(taken?.message ?? "")")
        #expect(await balancer.service("bad") == nil)
        #expect(await balancer.processID == pid)
        #expect(counted(try world.ask("http://127.0.0.1:8080/api", 1, host: "web.example")) == ["m3": 1])
    }

    private func tls(_ world: World, _ balancer: HTTPBalancer, _ member: HTTPService.Member) async throws {
        let (key, certificate) = (world.folder.path + "/key", world.folder.path + "/cert")
        let made = try Subprocess.run([
            "/bin/sh", "-c",
            "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=x -keyout \(key) -out \(certificate) 2>/dev/null",
        ])
        #expect(made == 0)
        let pem = try world.folder.text("cert") + world.folder.text("key")
        try await balancer.set(
            HTTPService(id: "safe", listeners: [.init(port: 8443, certificate: pem)], members: [member]))
        #expect(try world.ask("https://127.0.0.1:8443/", 1) == ["m1 127.0.0.1:8443 127.0.0.1 https"])
        let files = try FileContents.names(in: world.folder.path + "/h").filter { $0.hasSuffix(".pem") }
        #expect(files.count == 1)
        try await balancer.remove("safe")
        #expect(try FileContents.names(in: world.folder.path + "/h").filter { $0.hasSuffix(".pem") }.isEmpty)
    }

    private func end(_ world: World, _ balancer: HTTPBalancer) async throws {
        let pid = try #require(await balancer.processID)
        for id in ["web", "api", "gone"] { try await balancer.remove(id) }
        for _ in 0..<500 where kill(pid, 0) == 0 { usleep(10_000) }
        #expect(kill(pid, 0) != 0, "the process ends with the last service")
        #expect(access(world.folder.path + "/h", F_OK) != 0, "its folder goes, too")
    }

    @Test(.enabled(if: isInside)) func nothingFailsWhileEverythingChanges() async throws {
        let world = try World()
        let groups = HTTPBalancer.groups("skala-test-\(getpid())", try CgroupLayout.detect())
        let balancer = HTTPBalancer(folder: world.folder.path + "/h", groups: groups)
        let members = try (1...3).map { try world.serve($0) }
        func web(_ members: [HTTPService.Member]) -> HTTPService {
            HTTPService(id: "web", listeners: [.init(port: 8080)], members: members)
        }
        try await balancer.set(web([members[0]]))
        let command = ["/usr/bin/python3", world.folder.path + "/client.py", "load", "http://127.0.0.1:8080/", "4"]
        async let load = WorkerThreads(limit: 1).run { try Subprocess.output(command, limit: 1 << 16) }
        for round in 0..<12 {
            try await Task.sleep(nanoseconds: 250_000_000)
            try await balancer.setMembers(of: "web", [members[round % 3], members[(round + 1) % 3]])
            // Another service replaces the process.
            if round % 4 == 3 {
                try await balancer.set(HTTPService(id: "other\(round)", listeners: [.init(port: 9000 + UInt16(round))]))
            }
        }
        let text = try await load
        #expect(text.hasPrefix("[] "), "no request fails: \(text)")
        print("measured: failures under changes: \(text)")

        // A request in the middle is finished by who leaves.
        let slow = ["/usr/bin/python3", world.folder.path + "/client.py", "http://127.0.0.1:8080/slow", "1"]
        try await balancer.setMembers(of: "web", [members[0]])
        async let answer = WorkerThreads(limit: 1).run { try Subprocess.output(slow, limit: 1 << 16) }
        var left = 100
        while left > 0, try await balancer.metrics()["web"]?.concurrency != 1 {
            left -= 1
            usleep(5000)
        }
        #expect(try await balancer.metrics()["web"]?.concurrencyOfMembers["m1"] == 1)
        try await balancer.setMembers(of: "web", [members[1]])
        #expect(try await answer.hasPrefix("m1"))

        // A member that breaks off: the request is repeated where that is wanted, and only there.
        for repeats in [false, true] {
            var breaking = HTTPService(id: "web", listeners: [.init(port: 8080)], members: [members[0]])
            breaking.repeatsRequests = repeats
            try await balancer.set(breaking)
            let retries = try await balancer.metrics()["web"]?.retries ?? 0
            #expect(try world.ask("http://127.0.0.1:8080/break", 1) == ["502"])
            #expect((try await balancer.metrics()["web"]?.retries ?? 0 > retries) == repeats)
        }
        // A member that is dead without the balancer's knowing: others answer.
        try await balancer.setMembers(of: "web", members)
        try world.kill("m3")
        let retried = try world.ask("http://127.0.0.1:8080/", 12)
        #expect(counted(retried).keys.sorted() == ["m1", "m2"], "\(retried)")
        for group in groups {
            let pid = try #require(await balancer.processID)
            #expect(try SmallFile.text(group + "/cgroup.procs").split(separator: "\n").contains("\(pid)"), "\(group)")
        }
        try await itCrashes(world, balancer)
        for group in groups {
            for _ in 0..<500 where access(group, F_OK) == 0 { usleep(10_000) }
            #expect(access(group, F_OK) != 0, "\(group) is left")
        }
    }

    @Test(.enabled(if: isInside)) func aNewDaemonTakesOver() async throws {
        let world = try World()
        var balancer: HTTPBalancer? = HTTPBalancer(folder: world.folder.path + "/h")
        let members = try (1...2).map { try world.serve($0) }
        // The second one gets a slot that began without a member.
        try await balancer?.set(HTTPService(id: "web", listeners: [.init(port: 8080)], members: [members[0]]))
        try await balancer?.setMembers(of: "web", members)
        let pid = try #require(await balancer?.processID)
        // Its daemon was killed; nobody watches the process.
        balancer = nil
        #expect(counted(try world.ask("http://127.0.0.1:8080/", 4)) == ["m1": 2, "m2": 2])
        balancer = HTTPBalancer(folder: world.folder.path + "/h")
        try await balancer?.restore()
        #expect(await balancer?.service("web")?.members == members)
        #expect(await balancer?.processID == pid, "it goes on with the process that runs")
        #expect(counted(try world.ask("http://127.0.0.1:8080/", 4)) == ["m1": 2, "m2": 2])
        try await balancer?.setMembers(of: "web", [members[1]])
        #expect(counted(try world.ask("http://127.0.0.1:8080/", 4)) == ["m2": 4])
        // Members that its daemon did not come to tell, and one that it did not take out.
        var record = try #require(await balancer?.service("web"))
        record.members = [members[0]]
        let path = world.folder.path + "/h/services.json"
        try FileContents.replace(path, with: JSON([record.json]).bytes)
        balancer = HTTPBalancer(folder: world.folder.path + "/h")
        try await balancer?.restore()
        #expect(await balancer?.processID == pid)
        #expect(counted(try world.ask("http://127.0.0.1:8080/", 4)) == ["m1": 4])
        // Another structure: a process of its own takes the sockets over.
        try FileContents.replace(world.folder.path + "/h/structure", with: Array("other".utf8))
        balancer = HTTPBalancer(folder: world.folder.path + "/h")
        try await balancer?.restore()
        #expect(await balancer?.processID != pid)
        #expect(counted(try world.ask("http://127.0.0.1:8080/", 4)) == ["m1": 4])
        for _ in 0..<500 where kill(pid, 0) == 0 { usleep(10_000) }
        #expect(kill(pid, 0) != 0, "the old process ends")
        try await balancer?.remove("web")
        #expect(access(world.folder.path + "/h", F_OK) != 0, "its folder goes, too")
    }

    /// What lasts is not cut by each change, and old processes do not become more and more.
    @Test(.enabled(if: isInside)) func replacedProcessesAreBounded() async throws {
        let world = try World()
        let balancer = HTTPBalancer(folder: world.folder.path + "/h")
        try await balancer.set(HTTPService(id: "web", listeners: [.init(port: 8080)], members: [try world.serve(1)]))
        let long = ["/usr/bin/python3", world.folder.path + "/client.py", "http://127.0.0.1:8080/long", "1"]
        var (clients, processes): ([pid_t], [pid_t]) = ([], [])
        defer { for client in clients { Glibc.kill(client, SIGKILL) } }
        for round in 1...10 {
            clients.append(try Subprocess.spawn(long))
            processes.append(try #require(await balancer.processID))
            for _ in 0..<500 where try await balancer.metrics()["web"]?.concurrency != 1 { usleep(10_000) }
            try await balancer.set(HTTPService(id: "other", listeners: [.init(port: 9000 + UInt16(round))]))
        }
        for process in processes[..<2] {
            for _ in 0..<500 where kill(process, 0) == 0 { usleep(10_000) }
            #expect(kill(process, 0) != 0, "the oldest go")
        }
        #expect(processes[2...].allSatisfy { kill($0, 0) == 0 })
        try world.kill("m1")
        for client in clients { _ = try Subprocess.wait(client) }
        clients = []
        for process in processes {
            for _ in 0..<500 where kill(process, 0) == 0 { usleep(10_000) }
            #expect(kill(process, 0) != 0, "without connections it ends")
        }
        for id in ["web", "other"] { try await balancer.remove(id) }
    }

    private func itCrashes(_ world: World, _ balancer: HTTPBalancer) async throws {
        let pid = try #require(await balancer.processID)
        #expect(kill(pid, SIGKILL) == 0)
        let start = SystemClock.monotonicNanoseconds()
        while counted(try world.ask("http://127.0.0.1:8080/", 1)).keys.first?.hasPrefix("m") != true,
            SystemClock.monotonicNanoseconds() - start < 5_000_000_000
        { usleep(10_000) }
        let time = Double(SystemClock.monotonicNanoseconds() - start) / 1e6
        print("measured: answers after a crash, ms: \(time)")
        #expect(time < 2000)
        let crashed = try #require(await balancer.processID)
        #expect(crashed != pid)

        for id in ["web", "other3", "other7", "other11"] { try await balancer.remove(id) }
        #expect(access(world.folder.path + "/h", F_OK) != 0, "its folder goes, too")
    }
}
