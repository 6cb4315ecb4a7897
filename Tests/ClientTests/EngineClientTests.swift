import Base
import Glibc
import Kernel
import Testing

@testable import Client

struct EngineClientTests {
    private static func request(_ line: String, _ rest: String = "") -> String {
        "\(line) HTTP/1.1\r\nHost: skala\r\nUser-Agent: skala\r\n\(rest)\r\n"
    }

    @Test func oneConnectionServesSeveralRequests() throws {
        let server = try ScriptedServer([
            .accept, .expect(EngineClientTests.request("GET /a?x=1%202")),
            .send("HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n{\"a\":1}"),
            .expect(
                EngineClientTests.request("POST /b", "Content-Type: application/json\r\nContent-Length: 9\r\n")
                    + "{\"b\":[2]}"),
            .send("HTTP/1.1 204 No Content\r\n\r\n"), .expect(EngineClientTests.request("DELETE /c")),
            .send("HTTP/1.1 409 Conflict\r\nContent-Length: 20\r\n\r\n{\"message\":\"in use\"}"), .expectEnd,
        ])
        do {
            let client = EngineClient(EngineAddress(path: server.path))
            #expect(try client.json(.get("/a", query: [("x", "1 2")]))["a"] == 1)
            #expect(try client.json(.post("/b", ["b": [2]])) == .null)
            let error = #expect(throws: SkalaError.self) { try client.json(.delete("/c")) }
            #expect(error?.code == .conflict && error?.message == "in use")
        }
        #expect(server.finish() == nil)
    }

    @Test func aBodyIsStreamedInChunks() throws {
        let server = try ScriptedServer([
            .accept,
            .expect(
                EngineClientTests.request("PUT /f", "Content-Type: text/plain\r\nTransfer-Encoding: chunked\r\n")
                    + "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"),
            .send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
        ])
        var pieces: [[UInt8]] = [Array("abc".utf8), Array("de".utf8)]
        let client = EngineClient(EngineAddress(path: server.path))
        try client.json(
            HTTPRequest(
                "PUT", "/f",
                body: .stream(contentType: "text/plain") { pieces.isEmpty ? [] : pieces.removeFirst() }))
        #expect(server.finish() == nil)
    }

    @Test func aRefusedUploadShowsTheAnswer() throws {
        let server = try ScriptedServer([
            .accept, .expect("PUT /f HTTP/1.1\r\n"),
            .send("HTTP/1.1 404 Not Found\r\nContent-Length: 17\r\n\r\n{\"message\":\"no.\"}"), .close,
        ])
        let client = EngineClient(EngineAddress(path: server.path))
        var sent = 0
        let error = #expect(throws: SkalaError.self) {
            try client.json(
                HTTPRequest(
                    "PUT", "/f",
                    body: .stream(contentType: "text/plain") {
                        sent += 1
                        // Far more than the socket holds: the upload must end because nobody reads it.
                        return sent > 10_000 ? [] : [UInt8](repeating: 0, count: 4096)
                    }))
        }
        #expect(error?.code == .notFound && error?.message == "no.")
        #expect(sent < 10_000)
        #expect(server.finish() == nil)
    }

    @Test func linesOfJSONComeOneByOne() throws {
        let server = try ScriptedServer([
            .accept, .expect("GET /events"),
            .send(
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n7\r\n{\"a\":1}\r\n9\r\n\n{\"a\":2}\n\r\n0\r\n\r\n"
            ),
        ])
        let response = try EngineClient(EngineAddress(path: server.path)).send(.get("/events"))
        #expect(try response.nextDocument()?["a"] == 1)
        #expect(try response.nextDocument()?["a"] == 2)
        #expect(try response.nextDocument() == nil)
        #expect(server.finish() == nil)
    }

    @Test func anUpgradeLeavesARawStream() throws {
        let server = try ScriptedServer([
            .accept,
            .expect(
                EngineClientTests.request(
                    "POST /attach", "Content-Length: 0\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n")
            ), .send("HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\nearly"), .expect("input"),
            .expectEnd, .send("late"), .close,
        ])
        let client = EngineClient(EngineAddress(path: server.path))
        let stream = try client.finishUpgrade(try client.begin(.post("/attach"), upgrades: true))
        #expect(UnixSocket.writeAll(stream.descriptor.raw, Array("input".utf8)))
        stream.endInput()
        var bytes = stream.earlyBytes
        while true {
            let piece = try Pipe.read(stream.descriptor.raw, upTo: 100)
            if piece.isEmpty { break }
            bytes += piece
        }
        #expect(String(decoding: bytes, as: UTF8.self) == "earlylate")
        #expect(server.finish() == nil)
    }

    @Test func aMissingEngineIsNamedWithWhatToDo() {
        let client = EngineClient(EngineAddress(path: "/tmp/skala-there-is-none.sock"))
        let error = #expect(throws: SkalaError.self) { try client.json(.get("/version")) }
        #expect(error?.code == .unavailable)
        #expect(error?.message.contains("systemctl start skala") == true)
    }

    @Test func addressesAreChosenInOrder() throws {
        func choose(_ option: String?, _ environment: [String: String]) throws -> String {
            try EngineAddress.choose(option: option) { environment[$0] }.path
        }
        #expect(try choose(nil, [:]) == "/run/skala/skala.sock")
        #expect(try choose(nil, ["DOCKER_HOST": "unix:///d"]) == "/d")
        #expect(try choose(nil, ["DOCKER_HOST": "unix:///d", "SKALA_HOST": "/s"]) == "/s")
        #expect(try choose("unix:///o", ["SKALA_HOST": "/s"]) == "/o")
        #expect(throws: SkalaError.self) { try choose("tcp://1.2.3.4:2375", [:]) }
        #expect(throws: SkalaError.self) { try choose("relative", [:]) }
    }

    @Test func pathsAreEncoded() {
        #expect(PercentEncoding.encode("a b/ü%") == "a%20b%2F%C3%BC%25")
        #expect(PercentEncoding.encode("host:5000/a", keeping: "/:") == "host:5000/a")
    }
}
