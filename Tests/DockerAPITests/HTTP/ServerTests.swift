import Base
import Glibc
import Synchronization
import Testing

@testable import DockerAPI

@Suite(.timeLimit(.minutes(2)))
struct ServerTests {
    @Test func everyResponseCarriesDockersHeaders() async throws {
        try await ServerFixture.run({ _ in }) { fixture in
            let (head, body) = try await fixture.ask("GET /v1.44/_ping HTTP/1.1\r\nHost: d\r\n\r\n")
            #expect(head.hasPrefix("HTTP/1.1 200 OK\r\n"))
            for line in [
                "Api-Version: 1.50", "Docker-Experimental: false", "Ostype: linux", "Server: Skala/1.2.3 (linux)",
                "Content-Length: 2",
            ] {
                #expect(head.contains("\r\n\(line)\r\n"), "\(head)")
            }
            #expect(body == "OK")
            let (headOnly, _) = try await fixture.ask("HEAD /_ping HTTP/1.1\r\n\r\n", method: "HEAD")
            #expect(headOnly.contains("Content-Length: 2\r\n"))
        }
    }

    @Test(arguments: [
        ("GET /v1.51/_ping HTTP/1.1", 400, "client version 1.51 is too new. Maximum supported API version is 1.50"),
        ("GET /v1.23/_ping HTTP/1.1", 400, "client version 1.23 is too old. Minimum supported API version is 1.24"),
        ("GET /nothing HTTP/1.1", 404, "page not found"),
        ("DELETE /_ping HTTP/1.1", 404, "page not found"),
        ("GET /conflict HTTP/1.1", 409, "name web is in use"),
        ("GET /bad%zz HTTP/1.1", 400, "invalid URL escape"),
        ("GET /_ping HTTP/2.0", 505, "unsupported HTTP version"),
        ("GET  /_ping HTTP/1.1", 400, "malformed request line"),
        ("GET /_ping HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 3", 400, "Transfer-Encoding"),
        ("GET /_ping HTTP/1.1\r\nContent-Length: -3", 400, "invalid Content-Length"),
        ("GET /_ping HTTP/1.1\r\nName : x", 400, "malformed header"),
    ])
    func errorsAreDockers(request: String, status: Int, message: String) async throws {
        try await ServerFixture.run({ router in
            router.get("/conflict") { _ in throw SkalaError(.conflict, "name web is in use") }
        }) { fixture in
            let (head, body) = try await fixture.ask(request + "\r\n\r\n")
            #expect(head.hasPrefix("HTTP/1.1 \(status) "), "\(head)")
            let json = try JSON(parsing: body)
            #expect(json["message"].string?.contains(message) == true, "\(body)")
            #expect(json.object?.count == 1)
        }
    }

    @Test func notModifiedHasNoBodyAndKeepsTheConnection() async throws {
        try await ServerFixture.run({ router in
            router.post("/start") { _ in throw SkalaError(.notModified, "running already") }
        }) { fixture in
            let heads = try await fixture.client { client in
                try (0..<2).map { _ in
                    try client.send("POST /start HTTP/1.1\r\n\r\n")
                    return try client.receiveHead()
                }
            }
            for head in heads {
                #expect(head.hasPrefix("HTTP/1.1 304 "))
                #expect(!head.contains("Content-Length"))
            }
        }
    }

    @Test func tenThousandRequestsOnOneConnection() async throws {
        try await ServerFixture.run({ _ in }) { fixture in
            let good = try await fixture.client { client in
                var good = 0
                for _ in 0..<10_000 {
                    try client.send("GET /v1.50/_ping HTTP/1.1\r\nHost: d\r\n\r\n")
                    if try client.receiveResponse().body == "OK" { good += 1 }
                }
                return good
            }
            #expect(good == 10_000)
        }
    }

    @Test func pipelinedRequestsAreAnsweredInOrder() async throws {
        try await ServerFixture.run({ router in
            router.get("/echo/{id}") { request in
                // The first ones take longest: answers would overtake each other if two ran at once.
                try await Task.sleep(for: .milliseconds(request.parameter("id") == "0" ? 50 : 0))
                return .text(request.parameter("id"))
            }
        }) { fixture in
            let bodies = try await fixture.client { client in
                try client.send((0..<100).map { "GET /echo/\($0) HTTP/1.1\r\n\r\n" }.joined())
                return try (0..<100).map { _ in try client.receiveResponse().body }
            }
            #expect(bodies == (0..<100).map(String.init))
        }
    }

    @Test func closesWhenAsked() async throws {
        try await ServerFixture.run({ _ in }) { fixture in
            let (all, old) = try await (
                fixture.client { client in
                    try client.send("GET /_ping HTTP/1.1\r\nConnection: close\r\n\r\n")
                    return String(decoding: try client.receiveToEnd(), as: UTF8.self)
                },
                fixture.client { client in
                    try client.send("GET /_ping HTTP/1.0\r\n\r\n")
                    return String(decoding: try client.receiveToEnd(), as: UTF8.self)
                }
            )
            #expect(all.contains("Connection: close\r\n"))
            #expect(all.hasSuffix("\r\n\r\nOK"))
            #expect(old.hasSuffix("\r\n\r\nOK"))
        }
    }

    @Test func hugeHeadsAreRefused() async throws {
        try await ServerFixture.run({ _ in }) { fixture in
            let value = String(repeating: "x", count: 1_100_000)
            let (head, _) = try await fixture.ask("GET /_ping HTTP/1.1\r\nX: \(value)\r\n\r\n")
            #expect(head.hasPrefix("HTTP/1.1 431 "))
            let many = (0..<300).map { "X-\($0): 1\r\n" }.joined()
            let (second, _) = try await fixture.ask("GET /_ping HTTP/1.1\r\n\(many)\r\n")
            #expect(second.hasPrefix("HTTP/1.1 431 "))
        }
    }

    @Test func aClientsHalfCloseStillGetsItsAnswer() async throws {
        try await ServerFixture.run({ router in
            router.post("/slow") { request in
                let body = try await request.body.collect(upTo: 100)
                try await Task.sleep(for: .milliseconds(100))
                return .text("got \(body.count)")
            }
        }) { fixture in
            let answer = try await fixture.client { client in
                try client.send("POST /slow HTTP/1.1\r\nContent-Length: 4\r\n\r\nabcd")
                client.closeSending()
                return String(decoding: try client.receiveToEnd(), as: UTF8.self)
            }
            #expect(answer.hasSuffix("got 4"))
        }
    }

    @Test func stopLetsARequestFinishAndEndsStreams() async throws {
        let cancelled = Mutex(false)
        let entered = Mutex(0)
        let isStopping = Mutex(false)
        try await ServerFixture.run({ router in
            router.get("/slow") { _ in
                entered.withLock { $0 += 1 }
                while !isStopping.withLock({ $0 }) { try await Task.sleep(for: .milliseconds(2)) }
                return .text("done")
            }
            router.get("/events") { _ in
                .stream(contentType: "application/json") { writer in
                    try await writer.write("{}")
                    entered.withLock { $0 += 1 }
                    do { try await Task.sleep(for: .seconds(60)) } catch { cancelled.withLock { $0 = true } }
                }
            }
        }) { fixture in
            async let slow = fixture.ask("GET /slow HTTP/1.1\r\n\r\n")
            async let events = fixture.client { client in
                try client.send("GET /events HTTP/1.1\r\n\r\n")
                return try client.receiveToEnd().count
            }
            async let idle = fixture.client { client in try client.receiveToEnd().count }
            for _ in 0..<5000 where entered.withLock({ $0 }) < 2 { try await Task.sleep(for: .milliseconds(2)) }
            let start = ContinuousClock().now
            async let stopped: Void = fixture.server.stop(within: .seconds(20))
            // The socket goes first; then the connections are told.
            #expect(try await eventually { access(fixture.path, F_OK) != 0 })
            try await Task.sleep(for: .milliseconds(100))
            isStopping.withLock { $0 = true }
            await stopped
            #expect(ContinuousClock().now - start < .seconds(18))
            let answer = try await slow
            #expect(answer.body == "done")
            #expect(answer.head.contains("Connection: close"))
            #expect(try await events > 0)
            #expect(try await idle == 0)
            #expect(cancelled.withLock { $0 })
            #expect(access(fixture.path, F_OK) != 0)
        }
    }
}
