import CLinux
import Glibc

/// Reads HTTP/1.1 responses (RFC 9112) from bytes as they come, in any pieces, without keeping bodies.
///
/// The server is not trusted: everything that may grow has a limit, and what is against the rules ends the response with a
/// `Failure`. No allocation once the longest line cut by a piece's end has been seen.
public struct ResponseParser: Sendable {
    public enum Failure: Error, Sendable, Hashable {
        /// Not HTTP/1.0 or 1.1, or broken framing.
        case malformed
        /// A head, a chunk's line or a trailer beyond the limit.
        case tooLong
        /// The connection ended within the response.
        case closedEarly
    }

    public enum Progress: Sendable, Hashable {
        case incomplete
        /// The response ended after so many of the bytes given; the rest is not its.
        case complete(consumed: Int)
        case failed(Failure)
    }

    /// Bytes of a head with its interim responses, and of trailers.
    static let headLimit = 65536
    static let chunkLineLimit = 4096

    private enum State: Sendable {
        case statusLine, headers, body, chunkSize, chunk, chunkEnd, trailers, untilClose, ended
    }

    private var state = State.statusLine
    private let hasNoBody: Bool
    /// The start of a line whose end has not come yet.
    private var carry: [UInt8] = []
    /// Bytes of the head, or of the trailers, so far.
    private var headBytes = 0
    private var remaining: UInt64 = 0
    private var contentLength: UInt64?
    private var isChunked = false
    private var hasOtherCoding = false
    private var isVersion0 = false
    private var saysClose = false
    private var saysKeepAlive = false
    /// The status, 0 before there is one.
    public private(set) var status = 0
    /// Whether anything of a response has come.
    public private(set) var hasBegun = false

    /// - Parameter isHead: the request was HEAD: the response has no body, whatever it says.
    public init(isHead: Bool = false) { hasNoBody = isHead }

    /// Forgets the response for the next one on the connection.
    public mutating func reset() {
        state = .statusLine
        carry.removeAll(keepingCapacity: true)
        headBytes = 0
        remaining = 0
        status = 0
        hasBegun = false
        startHead()
    }

    private mutating func startHead() {
        contentLength = nil
        isChunked = false
        hasOtherCoding = false
        isVersion0 = false
        saysClose = false
        saysKeepAlive = false
    }

    /// Whether the connection may be used again after the complete response.
    public var keepsAlive: Bool { !saysClose && state == .ended && (!isVersion0 || saysKeepAlive) }

    /// Takes the next bytes of the connection.
    public mutating func consume(_ bytes: UnsafeRawBufferPointer) -> Progress {
        var place = 0
        if !bytes.isEmpty { hasBegun = true }
        do throws(Failure) {
            while place < bytes.count {
                switch state {
                case .ended: return .complete(consumed: place)
                case .untilClose: place = bytes.count
                case .body, .chunk:
                    let count = min(remaining, UInt64(bytes.count - place))
                    remaining -= count
                    place += Int(count)
                    if remaining == 0 { state = state == .body ? .ended : .chunkEnd }
                case .statusLine, .headers, .chunkSize, .chunkEnd, .trailers:
                    try takeLine(bytes, &place)
                }
            }
        } catch { return .failed(error) }
        return state == .ended ? .complete(consumed: place) : .incomplete
    }

    /// The connection has ended.
    public mutating func end() -> Progress {
        guard state == .untilClose || state == .ended else { return .failed(.closedEarly) }
        state = .ended
        saysClose = true
        return .complete(consumed: 0)
    }

    // MARK: lines

    private mutating func takeLine(_ bytes: UnsafeRawBufferPointer, _ place: inout Int) throws(Failure) {
        guard let base = bytes.baseAddress else { return }
        let start = base + place
        let rest = bytes.count - place
        let end = memchr(start, 0x0A, rest)
        let length = end.map { start.distance(to: UnsafeRawPointer($0)) } ?? rest
        // Counted before it is kept: a line has no more room than all lines together.
        headBytes += length + 1
        let isChunkLine = state == .chunkSize || state == .chunkEnd
        guard headBytes <= (isChunkLine ? ResponseParser.chunkLineLimit : ResponseParser.headLimit) else {
            throw .tooLong
        }
        guard end != nil else {
            headBytes -= 1
            carry.append(contentsOf: UnsafeRawBufferPointer(start: start, count: length))
            place = bytes.count
            return
        }
        place += length + 1
        guard !carry.isEmpty else { return try line(UnsafeRawBufferPointer(start: start, count: length)) }
        var whole: [UInt8] = []
        swap(&whole, &carry)
        whole.append(contentsOf: UnsafeRawBufferPointer(start: start, count: length))
        // Typed throws do not pass through the closure.
        let failure: Failure? = whole.withUnsafeBytes { buffer in
            do throws(Failure) { try line(buffer) } catch { return error }
            return nil
        }
        whole.removeAll(keepingCapacity: true)
        swap(&whole, &carry)
        if let failure { throw failure }
    }

    /// A line without its "\n"; "\r" before it is no part of the line.
    private mutating func line(_ raw: UnsafeRawBufferPointer) throws(Failure) {
        let text = raw.last == 0x0D ? UnsafeRawBufferPointer(rebasing: raw.dropLast()) : raw
        switch state {
        case .statusLine: try statusLine(text)
        case .headers: if text.isEmpty { try endOfHead() } else { try header(text) }
        case .chunkSize: try chunkSize(text)
        case .chunkEnd:
            guard text.isEmpty else { throw .malformed }
            state = .chunkSize
            headBytes = 0
        case .trailers: if text.isEmpty { state = .ended }
        case .body, .chunk, .untilClose, .ended: throw .malformed
        }
    }

    private mutating func statusLine(_ text: UnsafeRawBufferPointer) throws(Failure) {
        // "HTTP/1.1 200 OK"; the reason may be missing.
        guard text.count >= 12, ResponseParser.matches(text, 0, "http/1."), text[8] == 0x20,
            text[7] == 0x31 || text[7] == 0x30, text.count == 12 || text[12] == 0x20
        else { throw .malformed }
        isVersion0 = text[7] == 0x30
        var value = 0
        for index in 9..<12 {
            guard let digit = ResponseParser.digit(text[index]), digit < 10 else { throw .malformed }
            value = value * 10 + Int(digit)
        }
        guard value >= 100, value < 600 else { throw .malformed }
        status = value
        state = .headers
    }

    private mutating func header(_ text: UnsafeRawBufferPointer) throws(Failure) {
        guard let start = text.baseAddress, let found = memchr(start, 0x3A, text.count) else { throw .malformed }
        let colon = start.distance(to: UnsafeRawPointer(found))
        // White space before the colon, or a line that goes on with the one before: not in responses of today.
        guard colon > 0, text[colon - 1] != 0x20, text[colon - 1] != 0x09, text[0] != 0x20, text[0] != 0x09 else {
            throw .malformed
        }
        switch colon {
        case 10 where ResponseParser.matches(text, 0, "connection"):
            if ResponseParser.has(text, from: 11, "close") { saysClose = true }
            if ResponseParser.has(text, from: 11, "keep-alive") { saysKeepAlive = true }
        case 14 where ResponseParser.matches(text, 0, "content-length"):
            let value = try ResponseParser.decimal(text, from: 15)
            guard contentLength == nil || contentLength == value else { throw .malformed }
            contentLength = value
        case 17 where ResponseParser.matches(text, 0, "transfer-encoding"):
            if ResponseParser.has(text, from: 18, "chunked") { isChunked = true } else { hasOtherCoding = true }
        default: break
        }
    }

    private mutating func endOfHead() throws(Failure) {
        if status < 200 {
            // An interim response: the real one follows. A switch of protocols was not asked for.
            guard status != 101 else { throw .malformed }
            state = .statusLine
            status = 0
            return startHead()
        }
        headBytes = 0
        if hasNoBody || status == 204 || status == 304 {
            state = .ended
        } else if isChunked {
            // Both at once is how requests are smuggled.
            guard contentLength == nil else { throw .malformed }
            state = .chunkSize
        } else if hasOtherCoding {
            state = .untilClose
        } else if let contentLength {
            remaining = contentLength
            state = contentLength == 0 ? .ended : .body
        } else {
            state = .untilClose
        }
    }

    private mutating func chunkSize(_ text: UnsafeRawBufferPointer) throws(Failure) {
        var value: UInt64 = 0
        var digits = 0
        for byte in text {
            guard let digit = ResponseParser.digit(byte) else {
                // An extension, which nobody needs.
                guard byte == 0x3B || byte == 0x20 || byte == 0x09 else { throw .malformed }
                break
            }
            guard value < 1 << 59 else { throw .malformed }
            value = value << 4 | UInt64(digit)
            digits += 1
        }
        guard digits > 0 else { throw .malformed }
        headBytes = 0
        remaining = value
        state = value == 0 ? .trailers : .chunk
    }

    // MARK: text

    private static func digit(_ byte: UInt8) -> UInt8? {
        switch byte {
        case 0x30...0x39: byte - 0x30
        case 0x61...0x66: byte - 0x61 + 10
        case 0x41...0x46: byte - 0x41 + 10
        default: nil
        }
    }

    /// Whether the word, in lower case, stands at `place`, in whatever case.
    private static func matches(_ text: UnsafeRawBufferPointer, _ place: Int, _ word: StaticString) -> Bool {
        guard place + word.utf8CodeUnitCount <= text.count else { return false }
        for index in 0..<word.utf8CodeUnitCount {
            var byte = text[place + index]
            if byte >= 0x41, byte <= 0x5A { byte |= 0x20 }
            if byte != word.utf8Start[index] { return false }
        }
        return true
    }

    /// Whether the word is one of those between commas.
    private static func has(_ text: UnsafeRawBufferPointer, from start: Int, _ word: StaticString) -> Bool {
        var place = start
        while place < text.count {
            while place < text.count, text[place] == 0x20 || text[place] == 0x09 || text[place] == 0x2C { place += 1 }
            var end = place
            while end < text.count, text[end] != 0x2C { end += 1 }
            let next = end
            while end > place, text[end - 1] == 0x20 || text[end - 1] == 0x09 { end -= 1 }
            if end - place == word.utf8CodeUnitCount, matches(text, place, word) { return true }
            place = next
        }
        return false
    }

    private static func decimal(_ text: UnsafeRawBufferPointer, from start: Int) throws(Failure) -> UInt64 {
        var place = start
        var end = text.count
        while place < end, text[place] == 0x20 || text[place] == 0x09 { place += 1 }
        while end > place, text[end - 1] == 0x20 || text[end - 1] == 0x09 { end -= 1 }
        guard place < end else { throw .malformed }
        var value: UInt64 = 0
        while place < end {
            guard let digit = digit(text[place]), digit < 10, value < 1 << 59 else { throw .malformed }
            value = value * 10 + UInt64(digit)
            place += 1
        }
        return value
    }
}
