import NIOCore
import Testing

@testable import DockerAPI

struct RequestParserTests {
    /// What a parser makes of some pieces of input: its events with neighbouring body pieces joined, or the failure.
    private enum Outcome: Equatable {
        case events([RequestParser.Event], left: Int)
        case failure(Int)
    }

    private static func parse(_ pieces: [[UInt8]], requests: Int = .max) -> Outcome {
        var parser = RequestParser()
        var buffer = ByteBuffer()
        var events: [RequestParser.Event] = []
        var ended = 0
        for piece in pieces {
            buffer.writeBytes(piece)
            var wantsMore = true
            while wantsMore, ended < requests {
                do {
                    switch try parser.next(&buffer) {
                    case .needMore: wantsMore = false
                    case .body(let bytes):
                        if case .body(let before)? = events.last {
                            events[events.count - 1] = .body(before + bytes)
                        } else {
                            events.append(.body(bytes))
                        }
                    case .end:
                        ended += 1
                        events.append(.end)
                    case .head(let head): events.append(.head(head))
                    }
                } catch {
                    return .failure(error.status)
                }
            }
        }
        return .events(events, left: buffer.readableBytes)
    }

    private static let samples = [
        "GET / HTTP/1.1\r\n\r\n",
        "\r\n\r\nPOST /a?b=c HTTP/1.0\r\nHost: x\r\nContent-Length: 5\r\n\r\nhelloGET /next HTTP/1.1\r\nA:b\r\n\r\n",
        "PUT /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3;a=\"b\"\r\nabc\r\n00a\r\n0123456789\r\n0\r\nT: 1\r\n\r\nGET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
        "GET / HTTP/1.1\r\nX:  spaced \t\r\nEmpty:\r\n\r\n",
    ]

    @Test(arguments: samples) func everySplitGivesTheSame(sample: String) {
        let bytes = Array(sample.utf8)
        let whole = RequestParserTests.parse([bytes])
        if case .failure(let status) = whole { Issue.record("refused with \(status)") }
        #expect(RequestParserTests.parse(bytes.map { [$0] }) == whole)
        for at in 1..<bytes.count {
            #expect(RequestParserTests.parse([Array(bytes[..<at]), Array(bytes[at...])]) == whole)
        }
    }

    @Test func valuesAreTrimmedAndListsRead() throws {
        let text =
            "POST /a HTTP/1.1\r\nconnection: keep-alive,  UPGRADE \r\nUpgrade:tcp\r\nExpect: 100-Continue\r\n\r\n"
        let head = try RequestParser.parseHead(Array(text.utf8))
        #expect(head.asksForRawStream && head.asksForUpgrade && head.expectsContinue && head.keepsAlive)
        #expect(head.header("UPGRADE") == "tcp")
        #expect(head.bodyLength == .none)
    }

    @Test func nothingBehindTheRequestIsTaken() {
        let bytes = Array("POST /attach HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}\u{0}\u{1}raw".utf8)
        guard case .events(let events, let left) = RequestParserTests.parse([bytes], requests: 1) else {
            Issue.record("refused")
            return
        }
        #expect(events.last == .end)
        #expect(left == 5)
    }

    @Test(arguments: [
        ("GET / HTTP/1.1\nHost: x\r\n\r\n", 400),
        ("GET /\r\n\r\n", 400),
        ("GET / HTTP/1.1 \r\n\r\n", 400),
        ("G(T / HTTP/1.1\r\n\r\n", 400),
        ("GET /\u{1} HTTP/1.1\r\n\r\n", 400),
        ("PRI * HTTP/2.0\r\n\r\n", 505),
        ("GET / HTTP/1.1\r\nA: b\r\n folded\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\n: b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nA : b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nA: b\u{0}\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nA: b\rc\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nContent-Length: +3\r\n\r\nabc", 400),
        ("GET / HTTP/1.1\r\nContent-Length: 3, 3\r\n\r\nabc", 400),
        ("GET / HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", 400),
        ("GET / HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        ("GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501),
        ("GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", 501),
        ("GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n", 400),
        ("GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0x1\r\n", 400),
        ("GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n", 400),
        ("GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n", 400),
        ("GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\nabc\r\n", 400),
    ]) func theMalformedIsRefused(text: String, status: Int) {
        #expect(RequestParserTests.parse([Array(text.utf8)]) == .failure(status))
    }

    @Test func everythingIsBounded() {
        let endless = [UInt8](repeating: UInt8(ascii: "a"), count: 1_100_000)
        #expect(RequestParserTests.parse([Array("GET /".utf8), endless]) == .failure(431))
        let chunked = Array("GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1;".utf8)
        #expect(RequestParserTests.parse([chunked, endless]) == .failure(400))
        let trailers = Array(String(repeating: "T: 1\r\n", count: 100).utf8)
        #expect(RequestParserTests.parse([chunked + Array("\r\na\r\n0\r\n".utf8), trailers]) == .failure(431))
    }

    @Test(arguments: 0..<8 as Range<UInt64>) func mutationsNeverTrapAndSplitsNeverMatter(seed: UInt64) {
        var random = SplitMix(state: seed)
        for _ in 0..<300 {
            var bytes = Array(RequestParserTests.samples[Int(random.next() % 5)].utf8)
            for _ in 0...random.next() % 4 {
                let at = Int(random.next() % UInt64(bytes.count))
                switch random.next() % 3 {
                case 0: bytes[at] = UInt8(truncatingIfNeeded: random.next())
                case 1: bytes.insert(Array("\r\n:; 0\u{0}".utf8)[Int(random.next() % 7)], at: at)
                default: if bytes.count > 1 { bytes.remove(at: at) }
                }
            }
            let whole = RequestParserTests.parse([bytes])
            #expect(RequestParserTests.parse(bytes.map { [$0] }) == whole, "\(bytes)")
        }
    }
}

/// A small generator with a seed (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014).
private struct SplitMix {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var value = state
        value = (value ^ (value >> 30)) &* 0xBF58_476D_1CE4_E5B9
        value = (value ^ (value >> 27)) &* 0x94D0_49BB_1331_11EB
        return value ^ (value >> 31)
    }
}
