import Base

/// The bytes of HTTP/1.1 responses as events. A pure state machine: bytes in by `feed`, events out by `next`.
///
///     head ──▶ sized | chunkSize ⇄ chunk ⇄ chunkEnd → trailer | untilClose | raw ──▶ head
public struct ResponseParser: Sendable {
    public enum Event: Sendable {
        case needMore
        case head(ResponseHead)
        case body([UInt8])
        /// The response is complete; the next one may follow.
        case end
    }

    private enum State {
        case head
        case sized(Int64)
        case chunkSize
        case chunk(Int64)
        case chunkEnd
        case trailer
        case untilClose
        case raw
        case complete
    }

    /// More than any head the engine sends.
    public static let maximumHead = 64 << 10

    /// The next response answers a HEAD request and has no body.
    public var isWithoutBody = false
    private var state = State.head
    private var bytes: [UInt8] = []
    private var start = 0
    private var hasEnded = false

    public init() {}

    /// How much is received and not yet taken.
    public var buffered: Int { bytes.count - start }

    /// The connection is between responses, with nothing received.
    public var isIdle: Bool { if case .head = state { buffered == 0 && !hasEnded } else { false } }

    public mutating func feed(_ new: ArraySlice<UInt8>) {
        if start == bytes.count {
            bytes.removeAll(keepingCapacity: true)
            start = 0
        }
        bytes.append(contentsOf: new)
    }

    /// The peer has closed its side.
    public mutating func finish() { hasEnded = true }

    /// What was received behind an upgrade's head: the raw stream's first bytes.
    public mutating func takeRest() -> [UInt8] {
        defer { start = bytes.count }
        return Array(bytes[start...])
    }

    /// - Throws: `SkalaError` `.unavailable` when the answer is cut off, `.invalid` when it is not HTTP.
    public mutating func next() throws(SkalaError) -> Event {
        while true {
            switch state {
            case .head:
                guard let lines = try headLines() else { return .needMore }
                let head = try parse(lines)
                if (100..<200).contains(head.status), head.status != 101 { continue }
                state = try bodyState(of: head)
                return .head(head)
            case .sized(let left):
                if left == 0 {
                    state = .complete
                    continue
                }
                guard let piece = take(left) else { return try more() }
                state = .sized(left - Int64(piece.count))
                return .body(piece)
            case .chunkSize:
                guard let line = try line() else { return try more() }
                let digits = line.prefix { $0 != ";" && $0 != " " }
                guard let size = Int64(digits, radix: 16), size >= 0 else { throw malformed("chunk size '\(line)'") }
                state = size == 0 ? .trailer : .chunk(size)
            case .chunk(let left):
                guard let piece = take(left) else { return try more() }
                let rest = left - Int64(piece.count)
                state = rest == 0 ? .chunkEnd : .chunk(rest)
                return .body(piece)
            case .chunkEnd:
                guard let line = try line() else { return try more() }
                guard line.isEmpty else { throw malformed("chunk end") }
                state = .chunkSize
            case .trailer:
                guard let line = try line() else { return try more() }
                if line.isEmpty { state = .complete }
            case .untilClose:
                if let piece = take(.max) { return .body(piece) }
                guard hasEnded else { return .needMore }
                state = .complete
            case .raw: return .needMore
            case .complete:
                state = .head
                isWithoutBody = false
                return .end
            }
        }
    }

    private func malformed(_ what: String) -> SkalaError {
        SkalaError(.invalid, "the engine's answer is not HTTP: \(what)")
    }

    /// Nothing to take: more will come, unless the connection has ended.
    private func more() throws(SkalaError) -> Event {
        guard !hasEnded else {
            throw SkalaError(.unavailable, "the engine closed the connection in the middle of its answer")
        }
        return .needMore
    }

    private mutating func take(_ limit: Int64) -> [UInt8]? {
        guard buffered > 0 else { return nil }
        let count = limit > Int64(buffered) ? buffered : Int(limit)
        defer { start += count }
        return Array(bytes[start..<start + count])
    }

    /// The next line without its end.
    private mutating func line() throws(SkalaError) -> String? {
        guard let end = bytes[start...].firstIndex(of: 0x0A) else {
            guard buffered <= ResponseParser.maximumHead else { throw malformed("a line without an end") }
            return nil
        }
        defer { start = end + 1 }
        let stop = end > start && bytes[end - 1] == 0x0D ? end - 1 : end
        return String(decoding: bytes[start..<stop], as: UTF8.self)
    }

    /// All lines of a head, once it is complete.
    private mutating func headLines() throws(SkalaError) -> [Substring]? {
        var at = start
        while let end = bytes[at...].firstIndex(of: 0x0A) {
            if end == at || (end == at + 1 && bytes[at] == 0x0D) {
                let text = String(decoding: bytes[start..<at], as: UTF8.self)
                start = end + 1
                // "\r\n" is one character of a Swift string.
                return text.split(whereSeparator: { $0 == "\r\n" || $0 == "\n" })
            }
            at = end + 1
        }
        guard buffered <= ResponseParser.maximumHead else { throw malformed("a head of more than 64 KiB") }
        if hasEnded { throw SkalaError(.unavailable, "the engine closed the connection without an answer") }
        return nil
    }

    private func parse(_ lines: [Substring]) throws(SkalaError) -> ResponseHead {
        let words = lines.first?.split(separator: " ", maxSplits: 2) ?? []
        guard words.count >= 2, words[0].hasPrefix("HTTP/1."), let status = Int(words[1]) else {
            throw malformed("'\(lines.first ?? "")'")
        }
        var headers: [(name: String, value: String)] = []
        for line in lines.dropFirst() {
            guard let colon = line.firstIndex(of: ":") else { throw malformed("header '\(line)'") }
            let value = line[line.index(after: colon)...].drop { $0 == " " || $0 == "\t" }
            headers.append((String(line[..<colon]), String(value)))
        }
        return ResponseHead(status: status, headers: headers)
    }

    private func bodyState(of head: ResponseHead) throws(SkalaError) -> State {
        if head.status == 101 { return .raw }
        if isWithoutBody || head.status == 204 || head.status == 304 { return .complete }
        if head.header("Transfer-Encoding")?.lowercased() == "chunked" { return .chunkSize }
        guard let text = head.header("Content-Length") else { return .untilClose }
        guard let length = Int64(text), length >= 0 else { throw malformed("length '\(text)'") }
        return .sized(length)
    }
}
