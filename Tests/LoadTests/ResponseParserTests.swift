import TestSupport
import Testing

@testable import Load

struct ResponseParserTests {
    /// Feeds the bytes in pieces; the last progress, and what was consumed of all.
    private func parse(
        _ bytes: [UInt8], piece: (Int) -> Int = { $0 }, isHead: Bool = false, ends: Bool = false,
        _ parser: inout ResponseParser
    ) -> (progress: ResponseParser.Progress, consumed: Int) {
        var place = 0
        while place < bytes.count {
            let count = max(1, min(piece(bytes.count - place), bytes.count - place))
            let progress = Array(bytes[place..<place + count]).withUnsafeBytes { parser.consume($0) }
            if case .complete(let consumed) = progress { return (progress, place + consumed) }
            if progress != .incomplete { return (progress, place) }
            place += count
        }
        return ends ? (parser.end(), place) : (.incomplete, place)
    }

    private func parse(_ text: String, isHead: Bool = false, ends: Bool = false) -> (
        ResponseParser, ResponseParser.Progress
    ) {
        var parser = ResponseParser(isHead: isHead)
        let progress = parse(Array(text.utf8), isHead: isHead, ends: ends, &parser).progress
        return (parser, progress)
    }

    private struct Sample {
        let text: String
        let status: Int
        let keepsAlive: Bool
        var ends = false
        var isHead = false
    }

    private static let samples = [
        Sample(text: "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", status: 200, keepsAlive: true),
        Sample(text: "HTTP/1.1 204\r\n\r\n", status: 204, keepsAlive: true),
        Sample(text: "HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\n\r\n", status: 304, keepsAlive: true),
        Sample(text: "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n", status: 200, keepsAlive: true, isHead: true),
        Sample(
            text: "HTTP/1.1 503 No\r\nCONTENT-LENGTH:\t2 \r\nConnection: x, Close\r\n\r\nno", status: 503,
            keepsAlive: false),
        Sample(
            text:
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n5\r\nhello\r\nA;x=\"y\"\r\n0123456789\r\n0\r\nT: x\r\n\r\n",
            status: 200, keepsAlive: true),
        Sample(text: "HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", status: 200, keepsAlive: false),
        Sample(
            text: "HTTP/1.0 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n", status: 200,
            keepsAlive: true),
        Sample(text: "HTTP/1.1 200 OK\r\n\r\nuntil the end", status: 200, keepsAlive: false, ends: true),
        Sample(text: "HTTP/1.1 200 OK\nContent-Length: 2\n\nok", status: 200, keepsAlive: true),
        Sample(
            text:
                "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n!",
            status: 200, keepsAlive: true),
    ]

    @Test func responsesOfAllKindsEndWhereTheyEnd() {
        for sample in ResponseParserTests.samples {
            let (parser, progress) = parse(sample.text, isHead: sample.isHead, ends: sample.ends)
            guard case .complete = progress else {
                Issue.record("\(sample.text): \(progress)")
                continue
            }
            #expect(parser.status == sample.status, "\(sample.text)")
            #expect(parser.keepsAlive == sample.keepsAlive, "\(sample.text)")
        }
    }

    /// One parser for all, as on a connection, in pieces of every size: each response ends at its last byte.
    @Test(arguments: Seeds.first(30)) func piecesMakeNoDifference(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        var parser = ResponseParser()
        for sample in ResponseParserTests.samples where !sample.isHead {
            parser.reset()
            let bytes = Array(sample.text.utf8)
            let surplus = sample.ends ? [] : Array("HTTP/1.1 200".utf8)
            let largest = 1 + random.below(20)
            let (progress, consumed) = parse(
                bytes + surplus, piece: { _ in 1 + random.below(largest) }, ends: sample.ends, &parser)
            guard case .complete = progress else {
                Issue.record("\(sample.text): \(progress)")
                continue
            }
            #expect(consumed == bytes.count)
            #expect(parser.status == sample.status && parser.keepsAlive == sample.keepsAlive)
        }
    }

    @Test func whatIsAgainstTheRulesFails() {
        let malformed = [
            "SSH-2.0-OpenSSH\r\n", "HTTP/2 200 OK\r\n", "HTTP/1.1 2000 OK\r\n", "HTTP/1.1 099 X\r\n",
            "HTTP/1.1 200OK\r\n", "HTTP/1.1 2x0 OK\r\n", "HTTP/1.1 101 Switching\r\n\r\n",
            "HTTP/1.1 200 OK\r\nno colon\r\n", "HTTP/1.1 200 OK\r\nContent-Length : 1\r\n",
            "HTTP/1.1 200 OK\r\n folded: 1\r\n", "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 1, 1\r\n", "HTTP/1.1 200 OK\r\nContent-Length:\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999999\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n",
        ]
        for text in malformed { #expect(parse(text).1 == .failed(.malformed), "\(text)") }
    }

    @Test func anEndWithinTheResponseIsAFailure() {
        let texts = [
            "", "HTTP/1.1 200", "HTTP/1.1 200 OK\r\nA: b", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n",
        ]
        for text in texts { #expect(parse(text, ends: true).1 == .failed(.closedEarly), "\(text)") }
    }

    /// A server that never ends its head, a line, its interim responses, or its trailers.
    @Test func endlessHeadsAreCutOff() {
        let endless: [(start: String, more: String)] = [
            ("HTTP/1.1 200 OK\r\n", "X-Header: value\r\n"), ("HTTP/1.1 200 OK\r\nX: ", "a"), ("", "a"),
            ("", "HTTP/1.1 100 Continue\r\n\r\n"),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "0"),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;", "x"),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", "X: y\r\n"),
        ]
        for (start, more) in endless {
            var parser = ResponseParser()
            var progress = Array(start.utf8).withUnsafeBytes { parser.consume($0) }
            var sent = 0
            while progress == .incomplete, sent < 1 << 20 {
                progress = Array(more.utf8).withUnsafeBytes { parser.consume($0) }
                sent += more.utf8.count
            }
            let isCutOff = progress == .failed(.tooLong) || progress == .failed(.malformed)
            #expect(isCutOff, "\(start): \(progress) after \(sent) bytes")
            #expect(sent <= ResponseParser.headLimit + 64)
        }
    }

    /// Anything at all: an end or a failure, never a trap, and never more consumed than given.
    @Test func changedResponsesNeverCrash() async throws {
        let samples = ResponseParserTests.samples.map { Array($0.text.utf8) }
        try await Fuzz.run("response-parser") { random in
            var parser = ResponseParser(isHead: random.below(8) == 0)
            for _ in 0..<3 {
                parser.reset()
                let bytes = random.mutate(random.pick(samples), changes: 6)
                let largest = 1 + random.below(64)
                let (_, consumed) = parse(bytes, piece: { _ in 1 + random.below(largest) }, ends: true, &parser)
                #expect(consumed <= bytes.count)
                #expect(parser.status == 0 || (100...599).contains(parser.status))
            }
        }
    }
}
