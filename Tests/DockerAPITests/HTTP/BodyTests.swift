import Base
import CLinux
import Glibc
import Kernel
import Synchronization
import Testing

@testable import DockerAPI

@Suite(.timeLimit(.minutes(2)))
struct BodyTests {
    @Test func chunkedUploadsOfAnySplitArriveWhole() async throws {
        try await ServerFixture.run({ router in
            router.post("/sum") { request in
                var count = 0
                var sum = 0
                for try await chunk in request.body.chunks {
                    count += chunk.count
                    sum += chunk.reduce(0) { $0 + Int($1) }
                }
                return .text("\(count) \(sum)")
            }
        }) { fixture in
            let (first, second) = try await fixture.client { client in
                try client.send("POST /sum HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n")
                for piece in [
                    "5;x=1\r\nhel", "lo\r", "\n1", "0\r\n", "0123456789abcdef\r\n0\r\nTrail", "er: 1\r\n\r\n",
                ] {
                    try client.send(piece)
                    usleep(20_000)
                }
                let first = try client.receiveResponse().body
                // The connection goes on after a trailer.
                try client.send("POST /sum HTTP/1.1\r\nContent-Length: 3\r\n\r\n\u{1}\u{2}\u{3}")
                return (first, try client.receiveResponse().body)
            }
            let sum = "hello0123456789abcdef".utf8.reduce(0) { $0 + Int($1) }
            #expect(first == "21 \(sum)")
            #expect(second == "3 6")
        }
    }

    @Test func aSlowReaderSlowsTheClient() async throws {
        let gate = Mutex(false)
        try await ServerFixture.run({ router in
            router.post("/load") { request in
                while !gate.withLock({ $0 }) { try await Task.sleep(for: .milliseconds(5)) }
                var count = 0
                for try await chunk in request.body.chunks { count += chunk.count }
                return .text("\(count)")
            }
        }) { fixture in
            let sent = Mutex(0)
            let total = 32 << 20
            async let answer = fixture.client { client in
                try client.send("POST /load HTTP/1.1\r\nContent-Length: \(total)\r\n\r\n")
                let piece = [UInt8](repeating: 7, count: 64 << 10)
                for _ in 0..<total / piece.count {
                    try client.send(piece)
                    sent.withLock { $0 += piece.count }
                }
                return try client.receiveResponse().body
            }
            try await Task.sleep(for: .milliseconds(500))
            // The pipe's bound, the buffers of both sockets, and one read more.
            #expect(sent.withLock { $0 } < 4 << 20)
            gate.withLock { $0 = true }
            #expect(try await answer == "\(total)")
        }
    }

    @Test func continueIsSentOnceTheBodyIsWanted() async throws {
        try await ServerFixture.run({ router in
            router.put("/take") { request in .text("\(try await request.body.collect(upTo: 100).count)") }
            router.put("/refuse") { _ in throw SkalaError(.forbidden, "no") }
        }) { fixture in
            let (interim, final) = try await fixture.client { client in
                try client.send("PUT /take HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n")
                let interim = try client.receiveHead()
                try client.send("abcd")
                return (interim, try client.receiveResponse().body)
            }
            #expect(interim == "HTTP/1.1 100 Continue\r\n\r\n")
            #expect(final == "4")
            let refused = try await fixture.client { client in
                try client.send("PUT /refuse HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n")
                return String(decoding: try client.receiveToEnd(), as: UTF8.self)
            }
            #expect(refused.hasPrefix("HTTP/1.1 403 "))
            #expect(refused.contains("Connection: close"))
        }
    }

    @Test func anUnreadBodyIsDrainedOrTheConnectionEnds() async throws {
        try await ServerFixture.run({ router in
            router.post("/ignore") { _ in .noContent }
        }) { fixture in
            let (first, second) = try await fixture.client { client in
                try client.send("POST /ignore HTTP/1.1\r\nContent-Length: 100000\r\n\r\n")
                try client.send([UInt8](repeating: 65, count: 100_000))
                let first = try client.receiveHead()
                try client.send("GET /_ping HTTP/1.1\r\n\r\n")
                return (first, try client.receiveResponse().body)
            }
            #expect(first.hasPrefix("HTTP/1.1 204 "))
            #expect(second == "OK")
            let ended = try await fixture.client { client in
                try client.send("POST /ignore HTTP/1.1\r\nContent-Length: 1000000000\r\n\r\n")
                let head = try client.receiveHead()
                // More than is drained: the server must stop listening to this, well before the gigabyte.
                var sent = 0
                let piece = [UInt8](repeating: 65, count: 64 << 10)
                while sent < 1_000_000_000 {
                    do { try client.send(piece) } catch { break }
                    sent += piece.count
                }
                return (head, sent)
            }
            #expect(ended.0.hasPrefix("HTTP/1.1 204 "))
            #expect(ended.1 < 1_000_000_000)
        }
    }

    @Test func aClientThatLeavesInsideItsBodyIsAnError() async throws {
        let outcome = Mutex<String?>(nil)
        try await ServerFixture.run({ router in
            router.post("/load") { request in
                do {
                    _ = try await request.body.collect(upTo: 1 << 20)
                    outcome.withLock { $0 = "whole" }
                } catch {
                    outcome.withLock { $0 = "\(error)" }
                }
                return .noContent
            }
        }) { fixture in
            try await fixture.client { try $0.send("POST /load HTTP/1.1\r\nContent-Length: 10\r\n\r\nabc") }
            #expect(try await eventually { outcome.withLock { $0 != nil } })
            #expect(outcome.withLock { $0 }?.contains("closed") == true)
        }
    }

    @Test func aBodyGoesIntoADescriptor() async throws {
        let threads = WorkerThreads(limit: 2)
        try await ServerFixture.run({ router in
            router.put("/archive") { request in
                var ends: [Int32] = [0, 0]
                try check(cl_pipe2(&ends, 0), "pipe2")
                let (reader, writer) = (OwnedDescriptor(ends[0]), OwnedDescriptor(ends[1]))
                async let count = threads.run {
                    var total = 0
                    var bytes = [UInt8](repeating: 0, count: 4096)
                    while case let got = read(reader.raw, &bytes, bytes.count), got > 0 { total += got }
                    return total
                }
                try await request.body.write(to: writer.raw, on: threads)
                writer.close()
                return .text("\(try await count)")
            }
        }) { fixture in
            let body = try await fixture.client { client in
                try client.send("PUT /archive HTTP/1.1\r\nContent-Length: 3000000\r\n\r\n")
                try client.send([UInt8](repeating: 1, count: 3_000_000))
                return try client.receiveResponse().body
            }
            #expect(body == "3000000")
        }
    }

    @Test func bodiesBeyondTheLimitAreRefused() async throws {
        try await ServerFixture.run({ router in
            router.post("/json") { request in .json(try await request.body.json(upTo: 10)) }
        }) { fixture in
            let (head, _) = try await fixture.ask("POST /json HTTP/1.1\r\nContent-Length: 11\r\n\r\n\"012345678\"")
            #expect(head.hasPrefix("HTTP/1.1 400 "))
            let chunked = "POST /json HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nb\r\n\"012345678\"\r\n0\r\n\r\n"
            #expect(try await fixture.ask(chunked).head.hasPrefix("HTTP/1.1 400 "))
            let (_, body) = try await fixture.ask("POST /json HTTP/1.1\r\nContent-Length: 7\r\n\r\n{\"a\":1}")
            #expect(body == "{\"a\":1}\n")
        }
    }
}
