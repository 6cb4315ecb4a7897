import Base
import Testing

@testable import Client

struct ResponseParserTests {
    private func events(_ text: String, cut: Int, ends: Bool = false, withoutBody: Bool = false) throws -> [String] {
        var parser = ResponseParser()
        parser.isWithoutBody = withoutBody
        var events: [String] = []
        var body: [UInt8] = []
        func drain(isLast: Bool = false) throws {
            while true {
                switch try parser.next() {
                case .needMore: return
                case .head(let head): events.append("head \(head.status)")
                case .body(let bytes): body += bytes
                case .end:
                    events.append("end \(String(decoding: body, as: UTF8.self))")
                    body = []
                    if isLast { return }
                }
            }
        }
        let bytes = Array(text.utf8)
        for start in stride(from: 0, to: bytes.count, by: cut) {
            parser.feed(bytes[start..<min(start + cut, bytes.count)])
            try drain()
        }
        if ends {
            parser.finish()
            try drain(isLast: true)
        }
        return events
    }

    @Test(arguments: [1, 2, 3, 7, 1000])
    func answersAreCutAnywhere(cut: Int) throws {
        let text =
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello" + "HTTP/1.1 204 No Content\r\n\r\n"
            + "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nA;x=y\r\n0123456789\r\n0\r\nT: 1\r\n\r\n"
            + "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n"
        #expect(
            try events(text, cut: cut) == [
                "head 200", "end hello", "head 204", "end ", "head 200", "end abc0123456789", "head 404", "end ",
            ])
    }

    @Test func aBodyWithoutLengthEndsWithTheConnection() throws {
        let text = "HTTP/1.1 200 OK\r\n\r\nall of it"
        #expect(try events(text, cut: 4) == ["head 200"])
        #expect(try events(text, cut: 4, ends: true) == ["head 200", "end all of it"])
    }

    @Test func anAnswerToHeadHasNoBody() throws {
        let text = "HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n"
        #expect(try events(text, cut: 9, withoutBody: true) == ["head 200", "end "])
    }

    @Test(arguments: [
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nab", "HTTP/1.1 200 OK\r\nContent-",
    ])
    func aCutOffAnswerIsAnError(text: String) {
        #expect(throws: SkalaError.self) { try events(text, cut: 100, ends: true) }
    }

    @Test(arguments: [
        "SSH-2.0-OpenSSH\r\n\r\n", "HTTP/1.1 abc\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nno colon\r\n\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        "HTTP/1.1 200 OK\r\nX: " + String(repeating: "y", count: 70_000),
    ])
    func whatIsNotHTTPIsRefused(text: String) {
        #expect(throws: SkalaError.self) { try events(text, cut: 4096) }
    }

    @Test func theRawStreamsFirstBytesAreKept() throws {
        var parser = ResponseParser()
        parser.feed(Array("HTTP/1.1 101 UPGRADED\r\nUpgrade: tcp\r\n\r\nearly".utf8)[...])
        guard case .head(let head) = try parser.next() else {
            Issue.record("no head")
            return
        }
        #expect(head.header("upgrade") == "tcp")
        #expect(parser.takeRest() == Array("early".utf8))
    }
}
