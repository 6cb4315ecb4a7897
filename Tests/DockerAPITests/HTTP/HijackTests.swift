import Base
import Glibc
import Kernel
import Synchronization
import Testing

@testable import DockerAPI

private let upgrade = "Connection: Upgrade\r\nUpgrade: tcp\r\n"

@Suite(.timeLimit(.minutes(2)))
struct HijackTests {
    private static func echo(_ router: inout Router) {
        router.post("/attach") { request in
            let body = try await request.body.collect(upTo: 1000)
            return Response(
                body: .hijack(contentType: "application/vnd.docker.raw-stream") { connection in
                    do {
                        try await connection.write(Array("<\(body.count)>".utf8))
                        while let bytes = try await connection.read() { try await connection.write(bytes) }
                        try await connection.write(Array("|end".utf8))
                    } catch {
                        Issue.record("\(error)")
                    }
                })
        }
        router.post("/fail") { _ in throw SkalaError(.notFound, "no such container: web") }
    }

    @Test(arguments: [true, false])
    func earlyBytesAndHalfClose(upgrades: Bool) async throws {
        try await ServerFixture.run(HijackTests.echo) { fixture in
            let (head, rest) = try await fixture.client { client in
                let headers = upgrades ? upgrade : ""
                // The early bytes look like a request on purpose.
                try client.send("POST /attach HTTP/1.1\r\n\(headers)Content-Length: 2\r\n\r\n{}GET / HTTP/1.1\r\n\r\n")
                let head = try client.receiveHead()
                try client.send("more")
                usleep(50_000)
                client.closeSending()
                return (head, String(decoding: try client.receiveToEnd(), as: UTF8.self))
            }
            if upgrades {
                #expect(head.hasPrefix("HTTP/1.1 101 UPGRADED\r\n"))
                #expect(head.contains("Connection: Upgrade\r\nUpgrade: tcp\r\n"))
            } else {
                #expect(head.hasPrefix("HTTP/1.1 200 OK\r\n"))
                #expect(!head.contains("Content-Length"))
            }
            #expect(head.contains("Content-Type: application/vnd.docker.raw-stream\r\n"))
            #expect(rest == "<2>GET / HTTP/1.1\r\n\r\nmore|end")
        }
    }

    @Test func halfCloseBeforeTheAnswerIsNoLeave() async throws {
        try await ServerFixture.run(HijackTests.echo) { fixture in
            let rest = try await fixture.client { client in
                try client.send("POST /attach HTTP/1.1\r\n\(upgrade)\r\n")
                client.closeSending()
                _ = try client.receiveHead()
                return String(decoding: try client.receiveToEnd(), as: UTF8.self)
            }
            #expect(rest == "<0>|end")
        }
    }

    @Test func outputMayEndBeforeInput() async throws {
        let received = Mutex(0)
        try await ServerFixture.run({ router in
            router.post("/sink") { _ in
                Response(
                    body: .hijack(contentType: "x") { connection in
                        await connection.closeOutput()
                        do {
                            while let bytes = try await connection.read() {
                                received.withLock { $0 += bytes.count }
                            }
                        } catch {
                            Issue.record("\(error)")
                        }
                    })
            }
        }) { fixture in
            try await fixture.client { client in
                try client.send("POST /sink HTTP/1.1\r\n\(upgrade)\r\n")
                _ = try client.receiveHead()
                let end = try client.receive()
                #expect(end.isEmpty)
                try client.send([UInt8](repeating: 1, count: 100_000))
                client.closeSending()
            }
            #expect(try await eventually { received.withLock { $0 == 100_000 } })
        }
    }

    @Test func anErrorToAnUpgradeEndsTheConnection() async throws {
        try await ServerFixture.run(HijackTests.echo) { fixture in
            for path in ["/fail", "/session"] {
                let answer = try await fixture.client { client in
                    try client.send("POST \(path) HTTP/1.1\r\n\(upgrade)\r\nearly bytes of the other protocol")
                    return String(decoding: try client.receiveToEnd(), as: UTF8.self)
                }
                #expect(answer.hasPrefix("HTTP/1.1 404 "))
                #expect(answer.contains("Connection: close\r\n"))
                #expect(answer.contains("{\"message\":"))
            }
        }
    }

    @Test func twoHundredMegabytesBothWaysAtConstantMemory() async throws {
        try await ServerFixture.run({ router in
            router.post("/echo") { _ in
                Response(
                    body: .hijack(contentType: "x") { connection in
                        do {
                            while let bytes = try await connection.read() { try await connection.write(bytes) }
                        } catch {
                            Issue.record("\(error)")
                        }
                    })
            }
        }) { fixture in
            let total = 200 << 20
            let path = fixture.path
            let before = residentMemory()
            let client = try await fixture.threads.run { try RawClient(path) }
            try await fixture.threads.run {
                try client.send("POST /echo HTTP/1.1\r\n\(upgrade)\r\n")
                _ = try client.receiveHead()
            }
            async let sending: Void = fixture.threads.run {
                var piece = [UInt8](repeating: 0, count: 1 << 16)
                for number in 0..<total / piece.count {
                    piece[0] = UInt8(truncatingIfNeeded: number)
                    try client.send(piece)
                }
                client.closeSending()
            }
            async let receiving = fixture.threads.run {
                var count = 0
                var wrong = 0
                while true {
                    let bytes = try client.receive()
                    if bytes.isEmpty { return (count, wrong) }
                    let first = (count + 0xFFFF) & ~0xFFFF
                    if first < count + bytes.count, bytes[first - count] != UInt8(truncatingIfNeeded: first >> 16) {
                        wrong += 1
                    }
                    count += bytes.count
                }
            }
            // Nobody reads for a while in the middle of it all: the stream waits in bounded buffers.
            try await sending
            let (count, wrong) = try await receiving
            #expect(count == total)
            #expect(wrong == 0)
            // Of the whole process, in which other tests run at the same time: 200 MB kept anywhere would still show.
            #expect(residentMemory() - before < 128 << 20)
        }
    }

    @Test func aClientThatDoesNotReadStopsTheWriter() async throws {
        let written = Mutex(0)
        try await ServerFixture.run({ router in
            router.post("/flood") { _ in
                Response(
                    body: .hijack(contentType: "x") { connection in
                        let piece = [UInt8](repeating: 1, count: 64 << 10)
                        // Ends when the client goes: write throws then.
                        while (try? await connection.write(piece)) != nil { written.withLock { $0 += piece.count } }
                    })
            }
        }) { fixture in
            let before = try await fixture.client { client in
                try client.send("POST /flood HTTP/1.1\r\n\(upgrade)\r\n")
                _ = try client.receiveHead()
                usleep(300_000)
                return written.withLock { $0 }
            }
            #expect(before < 2 << 20)
            #expect(try await eventually { fixture.server.connectionCount == 0 })
        }
    }
}
