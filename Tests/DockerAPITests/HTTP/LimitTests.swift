import Glibc
import Kernel
import Testing

@testable import DockerAPI

@Suite(.timeLimit(.minutes(1)))
struct LimitTests {
    @Test func aHeadThatNeverEndsIsTimedOutAndAnIdleConnectionIsNot() async throws {
        var limits = ServerLimits()
        limits.headDeadline = .milliseconds(200)
        try await ServerFixture.run(limits: limits, { _ in }) { fixture in
            let slow = try await fixture.client { client in
                for character in "GET /_ping HTTP/1.1\r\nX:" {
                    try client.send("\(character)")
                    usleep(5000)
                }
                return String(decoding: try client.receiveToEnd(), as: UTF8.self)
            }
            #expect(slow.hasPrefix("HTTP/1.1 408 "))
            let patient = try await fixture.client { client in
                usleep(500_000)
                try client.send("GET /_ping HTTP/1.1\r\n\r\n")
                return try client.receiveResponse().body
            }
            #expect(patient == "OK")
        }
    }

    @Test func connectionsBeyondTheLimitAreClosedAndOthersServed() async throws {
        var limits = ServerLimits()
        limits.connections = 3
        try await ServerFixture.run(limits: limits, { _ in }) { fixture in
            let path = fixture.path
            let server = fixture.server
            let (refused, served, afterwards) = try await fixture.threads.run {
                var clients = try (0..<3).map { _ in try RawClient(path) }
                for client in clients {
                    try client.send("GET /_ping HTTP/1.1\r\n\r\n")
                    _ = try client.receiveResponse()
                }
                let refused = try RawClient(path).receiveToEnd()
                try clients[0].send("GET /_ping HTTP/1.1\r\n\r\n")
                let served = try clients[0].receiveResponse().body
                clients.removeLast()
                // The server sees the end when its event loop comes to it.
                for _ in 0..<1000 where server.connectionCount > 2 { usleep(10_000) }
                let next = try RawClient(path)
                try next.send("GET /_ping HTTP/1.1\r\n\r\n")
                return (refused.count, served, try next.receiveResponse().body)
            }
            #expect(refused == 0)
            #expect(served == "OK")
            #expect(afterwards == "OK")
        }
    }

    @Test func aClientThatNeverClosesIsClosed() async throws {
        var limits = ServerLimits()
        limits.lingerDeadline = .milliseconds(100)
        try await ServerFixture.run(limits: limits, { _ in }) { fixture in
            let path = fixture.path
            let client = try await fixture.threads.run {
                let client = try RawClient(path)
                try client.send("GET /_ping HTTP/1.1\r\nConnection: close\r\n\r\n")
                _ = try client.receiveToEnd()
                return client
            }
            #expect(try await eventually { fixture.server.connectionCount == 0 })
            withExtendedLifetime(client) {}
        }
    }

    @Test(
        arguments: [
            (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"), (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (1_709_210_096, "Thu, 29 Feb 2024 12:34:56 GMT"),
        ] as [(Int64, String)])
    func datesAreRFC9110s(second: Int64, text: String) {
        #expect(DateHeader.text(second) == text)
    }
}
