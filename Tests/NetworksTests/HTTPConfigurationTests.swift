import Base
import Testing

@testable import Networks

struct HTTPConfigurationTests {
    private func member(_ number: Int, weight: Int = 1) throws -> HTTPService.Member {
        HTTPService.Member(
            id: "m\(number)", address: try IPAddress(parsing: "10.0.0.\(number)"), port: 80, weight: weight)
    }

    private let configuration = HTTPConfiguration(folder: "/run/x", user: (1, 2), maximumConnections: 100)

    @Test func aChangeIsAFewCommandsWhoComesFirst() throws {
        var slots = HTTPSlots([try member(1), try member(2)])
        #expect(slots.members.count == 8)
        let changed = [try member(2, weight: 5), try member(3)]
        let commands = slots.change(to: changed, backend: "b")
        #expect(
            commands == [
                "set server b/s1 weight 5", "set server b/s2 addr 10.0.0.3 port 80", "set server b/s2 weight 1",
                "set server b/s2 state ready", "set server b/s0 state maint",
            ])
        let none = slots.change(to: changed, backend: "b")
        #expect(none == [])
        // A slot that was left is taken again last.
        let more = slots.change(to: try (2...8).map { try member($0) }, backend: "b") ?? []
        #expect(more.contains("set server b/s7 state ready") && !more.contains("set server b/s0 state ready"))
        let tooMany = slots.change(to: try (2...10).map { try member($0) }, backend: "b")
        #expect(tooMany == nil, "no room")
    }

    /// A member of the same id at another address is another server.
    @Test func aMemberMaysMove() throws {
        var slots = HTTPSlots([try member(1)])
        let moved = HTTPService.Member(id: "m1", address: try IPAddress(parsing: "10.0.0.9"), port: 80)
        let commands = slots.change(to: [moved], backend: "b") ?? []
        #expect(commands.contains("set server b/s0 state maint"))
        #expect(commands.contains("set server b/s1 addr 10.0.0.9 port 80"))
    }

    @Test func theMostParticularRouteComesFirst() throws {
        func service(_ id: String, _ host: String, _ path: String) -> HTTPService {
            HTTPService(id: id, listeners: [.init(port: 80)], routes: [.init(host: host, path: path)])
        }
        let text = configuration.text(
            [
                service("all", "", ""), service("wild", "*.x.org", ""), service("host", "a.x.org", ""),
                service("api", "a.x.org", "/api/"),
            ], [:])
        let routes = text.split(separator: "\n").filter { $0.contains("use_backend") }.map(String.init)
        #expect(
            routes.map { $0.split(separator: " ")[1] } == [
                "service_api", "service_host", "service_wild", "service_all",
            ])
        #expect(routes[0].contains("-m str a.x.org } { path /api } or"))
        #expect(routes[2].contains("-m end .x.org"))
        #expect(routes[3].hasSuffix("use_backend service_all"))
        #expect(text.contains("bind 0.0.0.0:80\n    bind [::]:80 v6only\n"))
    }

    @Test func nothingThatHAProxyWouldReadGetsIn() {
        for (host, path) in [
            ("a b", ""), ("a\nbind", ""), ("*", ""), ("a*", ""), ("", "api"), ("", "/a b"), ("", "/a\"b"), ("", "/a}b"),
            ("", "/a\nb"), ("", "/a\\b"), ("", "/#"),
        ] {
            #expect(throws: SkalaError.self) {
                try HTTPService(id: "x", listeners: [.init(port: 80)], routes: [.init(host: host, path: path)])
                    .validate()
            }
        }
        #expect(throws: SkalaError.self) {
            try HTTPService(id: "x", listeners: [.init(address: "1.2.3\n", port: 80)]).validate()
        }
    }

    @Test func aServiceIsReadAsItWasWritten() throws {
        let service = HTTPService(
            id: "x", listeners: [.init(address: "::1", port: 443, certificate: "pem")],
            routes: [.init(host: "*.x.org", path: "/a")], algorithm: .sourceHash, slowStart: 5, retries: 2,
            members: [try member(1, weight: 7)])
        #expect(try HTTPService(json: try JSON(parsing: service.json.bytes)) == service)
    }

    @Test func countsAreRead() throws {
        let text = """
            # pxname,svname,qcur,scur,stot,econ,eresp,wretr,rate,hrsp_5xx,req_tot,rtime,
            f,FRONTEND,,1,1,,,,1,0,1,,
            b,s0,0,3,9,0,0,0,2,0,9,4,
            b,BACKEND,2,3,9,1,2,3,4,5,10,6,

            """
        let all = HTTPMetrics.parse(text)
        var wanted = HTTPMetrics()
        (wanted.requests, wanted.serverErrors, wanted.failures, wanted.retries) = (10, 5, 3, 3)
        (wanted.requestsPerSecond, wanted.concurrency, wanted.queued, wanted.responseMilliseconds) = (4, 3, 2, 6)
        #expect(all["b"]?.metrics == wanted && all["b"]?.servers == ["s0": 3] && all.count == 1)
        #expect(HTTPMetrics.parse("").isEmpty && HTTPMetrics.parse("# a\nb").isEmpty)
    }

    /// Who is taken over has the slots it had; what nobody knows leaves, who is missing comes.
    @Test func aRunningProcessIsRead() throws {
        let text = """
            1
            # be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_port
            3 service_x 1 s0 10.0.0.9 2 0 1 80
            3 service_x 2 s1 10.0.0.2 2 4 4 80
            3 service_x 3 s2 127.0.0.1 0 5 1 1
            3 service_x 4 again 127.0.0.1 2 0 0 80

            """
        let servers = try #require(HTTPSlots.servers(text)["service_x"])
        #expect(servers.count == 3 && servers[2] == nil && servers[1]?.weight == 4)
        var slots = HTTPSlots(servers: servers, known: [try member(1), try member(2, weight: 4)])
        #expect(try slots.members[1] == member(2, weight: 4))
        let commands = slots.change(to: [try member(1), try member(2, weight: 4)], backend: "b")
        #expect(
            commands == [
                "set server b/s2 addr 10.0.0.1 port 80", "set server b/s2 weight 1",
                "set server b/s2 state ready",
                "set server b/s0 state maint",
            ])
        #expect(HTTPSlots.servers("").isEmpty)
    }

    @Test func latenciesAreThoseOfLate() {
        let second: Int64 = 1_000_000_000
        var latencies = HTTPLatencies()
        #expect(latencies.quantiles(at: 0) == nil)
        for number in 1...100 { latencies.add(UInt32(number), at: 0) }
        #expect(latencies.quantiles(at: second / 2)?.p50 == 50)
        #expect(latencies.quantiles(at: second / 2)?.p95 == 95)
        // Few of the last second: as many older ones as it takes.
        for _ in 1...11 { latencies.add(1000, at: 2 * second) }
        #expect(latencies.quantiles(at: 2 * second)?.p50 == 1000)
        #expect(latencies.quantiles(at: 2 * second)?.p95 == 1000)
        #expect(latencies.quantiles(at: 8 * second) == nil)
        // More than are kept.
        for number in 0..<5000 { latencies.add(7, at: 9 * second + Int64(number)) }
        #expect(latencies.quantiles(at: 9 * second + 5000)?.p99 == 7)
    }

    @Test func whatWaitsIsHeldInOrderOfTheFile() {
        var service = HTTPService(
            id: "x", listeners: [.init(port: 80, redirectsTo: 443), .init(port: 443, certificate: "c")])
        #expect(!configuration.text([service], [:]).contains("lua"))
        service.hold = 30
        let text = configuration.text([service], [:])
        #expect(text.contains("lua-load /run/x/hold.lua"))
        #expect(text.contains("lua.skala_hold service_x 30 if { nbsrv(service_x) eq 0 }"))
        #expect(text.contains("server again 127.0.0.1:443 weight 0 ssl verify none"))
        #expect(text.contains("use_backend redirect_443"))
        #expect(text.contains("location https://%[req.hdr(host),field(1,:)]%[url]"))
    }
}
