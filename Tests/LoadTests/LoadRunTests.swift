import Base
import Glibc
import Kernel
import Testing

@testable import Load

/// Loads of servers that behave, and of servers that do not.
@Suite(.serialized) struct LoadRunTests {
    private static let answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

    private func run(_ server: LocalServer, _ profile: LoadProfile, _ change: (inout LoadPlan) -> Void = { _ in })
        async throws -> LoadReport
    {
        var plan = LoadPlan(
            targets: [try LoadTarget(parsing: "http://127.0.0.1:\(server.port)/a?b")], profile: profile)
        change(&plan)
        let run = try LoadRun(plan)
        while !run.hasEnded { try await Task.sleep(nanoseconds: 5_000_000) }
        return try run.report()
    }

    private let minute: Int64 = 60_000_000_000

    @Test func everyRequestIsCounted() async throws {
        let server = try LocalServer { connection, _ in
            while connection.takeRequest(), connection.send(LoadRunTests.answer) {}
        }
        defer { server.close() }
        let report = try await run(server, LoadProfile(.concurrency, constant: 4, duration: minute)) {
            $0.requestLimit = 501
            $0.threads = 2
        }
        #expect(report.total.requests == 501 && report.total.answered == 501 && report.total.failed == 0)
        #expect(report.total.latency.count == 501 && report.total.statuses == [200: 501])
        #expect(report.total.bytesReceived == 501 * UInt64(LoadRunTests.answer.utf8.count))
        #expect(report.total.connections <= 4 && server.connections <= 4)
        #expect(report.intervals.reduce(0) { $0 + $1.answered } == 501)
        let json = try JSON(parsing: report.json.text)
        #expect(json["answered"].int == 501 && json["failures"].object?.isEmpty == true)
        #expect(json["histogram"].array?.reduce(0) { $0 + ($1.array?.last?.int ?? 0) } == 501)
    }

    @Test func withoutKeepAliveEachRequestHasAConnection() async throws {
        let server = try LocalServer { connection, _ in
            if connection.takeRequest() { connection.send(LoadRunTests.answer) }
        }
        defer { server.close() }
        let report = try await run(server, LoadProfile(.concurrency, constant: 3, duration: minute)) {
            $0.requestLimit = 50
            $0.keepsAlive = false
        }
        #expect(report.total.answered == 50 && report.total.failed == 0 && report.total.repeated == 0)
        #expect(report.total.connections == 50)
    }

    /// A server that stalls for 15 of 30 s makes those who come in that time wait for 7.5 s; here a second of two, and half
    /// a second. Four connections: a tool that waits for answers would see four slow requests.
    @Test func aStallIsSeenByAllWhoCameInIt() async throws {
        let begin = SystemClock.monotonicNanoseconds()
        let server = try LocalServer { connection, _ in
            while connection.takeRequest() {
                let left = begin + 1_000_000_000 - SystemClock.monotonicNanoseconds()
                if left > 0 { usleep(UInt32(left / 1000)) }
                connection.send(LoadRunTests.answer)
            }
        }
        defer { server.close() }
        let report = try await run(server, LoadProfile(.rate, constant: 200, duration: 2_000_000_000)) {
            $0.connectionLimit = 4
            $0.timeout = 30_000_000_000
        }
        #expect(report.total.answered == 400 && report.total.failed == 0)
        // Of the stall, what came before the first request was due has passed.
        let clock = SystemClock.now().nanoseconds - SystemClock.monotonicNanoseconds()
        let stall = 1 - Double(report.started.nanoseconds - clock - begin) / 1e9
        let sum = report.total.latency.mean / 1e9 * 400
        #expect(sum > 0.9 * 200 * stall * stall / 2, "\(sum) s in a stall of \(stall) s")
        #expect(Double(report.total.latency.maximum) > stall * 0.9e9)
    }

    @Test func whatIsDueAndNeverSentHasFailed() async throws {
        let server = try LocalServer { connection, _ in
            while connection.takeRequest() { usleep(5_000_000) }
        }
        defer { server.close() }
        let report = try await run(server, LoadProfile(.rate, constant: 100, duration: 300_000_000)) {
            $0.connectionLimit = 2
            $0.timeout = 200_000_000
        }
        #expect(report.total.answered == 0)
        #expect(report.total.requests == 30 && report.total.failed == 30)
        #expect(report.total[.timeout] >= 2 && report.total[.timeout] + report.total[.unsent] == 30)
    }

    @Test func hostileServersGiveCountedFailures() async throws {
        let behaviours: [(LoadFailure, @Sendable (LocalConnection) -> Void)] = [
            (.closed, { _ in }),
            (.closed, { if $0.takeRequest() { $0.send("HTTP/1.1 200 OK\r\nContent-Le") } }),
            (.closed, { if $0.takeRequest() { $0.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort") } }),
            (.malformed, { if $0.takeRequest() { $0.send("SSH-2.0-OpenSSH_9.2\r\n") } }),
            (
                .malformed,
                { connection in
                    guard connection.takeRequest() else { return }
                    connection.send("HTTP/1.1 200 OK\r\n")
                    while connection.send("X-Header: a value of some length\r\n") {}
                }
            ),
            (
                .malformed,
                {
                    if $0.takeRequest() { $0.send("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n") }
                }
            ),
            (.timeout, { if $0.takeRequest(), $0.send("HTTP/1.1 200 OK\r\n") { _ = $0.takeRequest() } }),
            (.reset, { if $0.takeRequest() { $0.reset() } }),
            (.status, { if $0.takeRequest() { $0.send("HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n") } }),
        ]
        for (failure, behaviour) in behaviours {
            let server = try LocalServer { connection, _ in behaviour(connection) }
            defer { server.close() }
            let report = try await run(server, LoadProfile(.concurrency, constant: 2, duration: minute)) {
                $0.requestLimit = 6
                if failure == .timeout { $0.timeout = 300_000_000 }
            }
            let total = report.total
            #expect(total.requests == 6 && total.failed == 6, "\(failure)")
            // An end before the request was read may come as a reset.
            let isExpected = total[failure] == 6 || (failure == .closed && total[.closed] + total[.reset] == 6)
            #expect(isExpected, "\(failure): \(LoadFailure.allCases.map { "\($0) \(total[$0])" })")
            #expect(total.answered == (failure == .status ? 6 : 0))
        }
    }

    @Test func surplusBytesEndTheConnectionOnly() async throws {
        let server = try LocalServer { connection, _ in
            while connection.takeRequest(), connection.send(LoadRunTests.answer + "HTTP/1.1 200 OK\r\n") {}
        }
        defer { server.close() }
        let report = try await run(server, LoadProfile(.concurrency, constant: 1, duration: minute)) {
            $0.requestLimit = 5
        }
        #expect(report.total.answered == 5 && report.total.failed == 0)
        #expect(report.total.connections == 5)
    }

    /// A connection that is closed as the next request comes: sent again, unless that could do twice what it does.
    @Test(arguments: ["GET", "POST"]) func requestsOnClosedConnectionsAreSentAgain(method: String) async throws {
        let server = try LocalServer { connection, _ in
            if connection.takeRequest(), connection.send(LoadRunTests.answer) { _ = connection.takeRequest() }
        }
        defer { server.close() }
        let report = try await run(server, LoadProfile(.concurrency, constant: 1, duration: minute)) {
            $0.requestLimit = 9
            $0.method = method
        }
        let total = report.total
        #expect(total.requests == 9)
        if method == "GET" {
            #expect(total.failed == 0 && total.answered == 9 && total.repeated == 8)
        } else {
            #expect(total.repeated == 0 && total.failed == total[.closed] + total[.reset] && total.failed == 4)
        }
    }

    @Test func nobodyListens() async throws {
        let server = try LocalServer { _, _ in }
        server.close()
        // The port is still bound, and listens no more.
        let report = try await run(server, LoadProfile(.concurrency, constant: 2, duration: 350_000_000))
        #expect(report.total.answered == 0)
        // Two users, who rest for a tenth of a second after each try.
        #expect(report.total[.refused] == report.total.failed && (2...8).contains(report.total.failed))
    }

    @Test func aStoppedLoadHasAReport() async throws {
        let server = try LocalServer { connection, _ in
            while connection.takeRequest(), connection.send(LoadRunTests.answer) {}
        }
        defer { server.close() }
        let plan = LoadPlan(
            targets: [try LoadTarget(parsing: "127.0.0.1:\(server.port)")],
            profile: LoadProfile(.concurrency, constant: 1, duration: minute))
        let run = try LoadRun(plan)
        while server.connections == 0 { try await Task.sleep(nanoseconds: 5_000_000) }
        run.stop()
        while !run.hasEnded { try await Task.sleep(nanoseconds: 5_000_000) }
        let report = try run.report()
        #expect(report.wasStopped && report.total.failed == 0)
        #expect(report.elapsed < minute)
    }

    @Test func wrongPlansAreRefused() throws {
        for text in [
            "", "ftp://a/", "http://", "http://a:0/", "http://a:99999/", "http://u:p@a/", "http://a/ b", "http://::1/",
            "http://[::1]x/",
        ] {
            #expect(throws: SkalaError.self, "\(text)") { try LoadTarget(parsing: text) }
        }
        let target = try LoadTarget(parsing: "https://[::1]?a=b#c")
        #expect(target.host == "::1" && target.port == 443 && target.path == "/?a=b" && target.authority == "[::1]")
        let empty = LoadPlan(targets: [target], profile: LoadProfile(.rate, constant: 0, duration: 5))
        #expect(throws: SkalaError.self) { try LoadRun(empty) }
        var wrong = LoadPlan(targets: [target], profile: LoadProfile(.rate, constant: 1, duration: 5))
        wrong.headers = [("A", "b\r\nC: d")]
        #expect(throws: SkalaError.self) { try LoadRun(wrong) }
        for text in ["", "2x", "600", "300-200", "abc", "99", "1-2-3"] {
            #expect(throws: SkalaError.self, "\(text)") { try StatusSet(parsing: text) }
        }
        let statuses = try StatusSet(parsing: "2xx,404,301-303")
        #expect(
            [200, 299, 404, 302].allSatisfy(statuses.contains)
                && ![300, 304, 405, 500].contains { statuses.contains($0) })
    }
}
