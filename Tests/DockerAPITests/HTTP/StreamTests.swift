import Base
import Synchronization
import Testing

@testable import DockerAPI

@Suite(.timeLimit(.minutes(1)))
struct StreamTests {
    @Test func piecesArriveAsTheyAreWritten() async throws {
        let mayEnd = Mutex(false)
        try await ServerFixture.run({ router in
            router.get("/stream") { _ in
                .stream(contentType: "application/json") { writer in
                    try await writer.write("first")
                    while !mayEnd.withLock({ $0 }) { try await Task.sleep(for: .milliseconds(5)) }
                    try await writer.write("second")
                }
            }
        }) { fixture in
            let (head, first, rest, next) = try await fixture.client { client in
                try client.send("GET /stream HTTP/1.1\r\n\r\n")
                let head = try client.receiveHead()
                let first = String(decoding: try client.receive(exactly: 10), as: UTF8.self)
                mayEnd.withLock { $0 = true }
                let rest = String(decoding: try client.receive(exactly: 16), as: UTF8.self)
                try client.send("GET /_ping HTTP/1.1\r\n\r\n")
                return (head, first, rest, try client.receiveResponse().body)
            }
            #expect(head.contains("Transfer-Encoding: chunked\r\n"))
            #expect(first == "5\r\nfirst\r\n")
            #expect(rest == "6\r\nsecond\r\n0\r\n\r\n")
            #expect(next == "OK")
        }
    }

    @Test(arguments: [true, false])
    func anEndlessStreamEndsWithItsClient(halfClose: Bool) async throws {
        let events = Mutex<[String]>([])
        try await ServerFixture.run({ router in
            router.get("/events") { _ in
                .stream(contentType: "application/json") { writer in
                    writer.onClose { events.withLock { $0.append("closed") } }
                    do {
                        try await Task.sleep(for: .seconds(60))
                    } catch {
                        events.withLock { $0.append("cancelled \(writer.isClosed)") }
                        throw error
                    }
                }
            }
        }) { fixture in
            try await fixture.client { client in
                try client.send("GET /events HTTP/1.1\r\n\r\n")
                _ = try client.receiveHead()
                guard halfClose else { return }
                client.closeSending()
                _ = try client.receiveToEnd()
            }
            #expect(try await eventually { events.withLock { $0.count == 2 } })
            #expect(events.withLock { $0 } == ["closed", "cancelled true"])
        }
    }

    @Test func aFailedStreamIsVisiblyNotWhole() async throws {
        try await ServerFixture.run({ router in
            router.get("/stream") { _ in
                .stream(contentType: "text/plain") { writer in
                    try await writer.write("some")
                    throw SkalaError(.system, "disk on fire")
                }
            }
            router.post("/pull") { _ in
                JSONLines.response { lines in
                    try await lines.write(["status": "Pulling"])
                    throw SkalaError(.notFound, "no such image: x")
                }
            }
        }) { fixture in
            let raw = try await fixture.client { client in
                try client.send("GET /stream HTTP/1.1\r\n\r\n")
                return String(decoding: try client.receiveToEnd(), as: UTF8.self)
            }
            #expect(raw.hasSuffix("4\r\nsome\r\n"))
            let (_, body) = try await fixture.ask("POST /pull HTTP/1.1\r\n\r\n")
            #expect(
                body == "{\"status\":\"Pulling\"}\r\n"
                    + "{\"errorDetail\":{\"message\":\"no such image: x\"},\"error\":\"no such image: x\"}\r\n")
        }
    }

    @Test func oldClientsGetTheirStreamUntilClose() async throws {
        try await ServerFixture.run({ router in
            router.get("/stream") { _ in .stream(contentType: "text/plain") { try await $0.write("all") } }
        }) { fixture in
            let raw = try await fixture.client { client in
                try client.send("GET /stream HTTP/1.0\r\n\r\n")
                return String(decoding: try client.receiveToEnd(), as: UTF8.self)
            }
            #expect(raw.hasSuffix("\r\n\r\nall"))
            #expect(!raw.contains("chunked"))
        }
    }
}
