import NIOCore

/// Parses HTTP/1 requests (RFC 9112), one event at a time: a pure state machine without I/O.
///
/// Why an own parser: Docker's attach and exec turn the connection into a raw stream at an exact byte, with or without
/// an `Upgrade` header. So nothing behind a request may be looked at before that request is answered. This parser takes
/// no byte beyond the current request; what follows stays in the caller's buffer.
///
/// It is strict where leniency lets two readers disagree about where a request ends: lines end with CRLF only, no folded
/// headers, no space before the colon, no `Content-Length` beside `Transfer-Encoding`, no differing lengths.
struct RequestParser {
    enum Event: Equatable {
        /// The buffer holds nothing complete.
        case needMore
        case head(RequestHead)
        /// A piece of the body, never empty.
        case body([UInt8])
        /// The request is complete; the next call starts a new one.
        case end
    }

    struct Failure: Error, Equatable {
        let status: Int
        let message: String
    }

    /// Request line and headers together: what Docker's own server takes, for build arguments travel in the query.
    static let maximumHeadSize = 1 << 20
    static let maximumHeaderCount = 256
    /// One line of a chunk's size, or of a trailer.
    static let maximumChunkLineSize = 4096
    static let maximumTrailerCount = 64

    private enum State {
        case head(scanned: Int)
        case fixed(remaining: Int64)
        case chunkSize
        case chunk(remaining: Int64)
        case chunkEnd
        case trailer(count: Int)
    }

    private var state = State.head(scanned: 0)

    /// Whether a request's head is expected, so that the bytes there are (if any) are part of one.
    var isBetweenRequests: Bool { if case .head = state { true } else { false } }

    /// Takes the next event's bytes out of `buffer`.
    ///
    /// - Throws: `Failure` with the status to answer. The parser must not be used afterwards.
    mutating func next(_ buffer: inout ByteBuffer) throws(Failure) -> Event {
        while true {
            switch state {
            case .head(let scanned):
                return try head(&buffer, scanned: scanned)
            case .fixed(let remaining):
                if remaining == 0 { return end() }
                guard let bytes = RequestParser.take(&buffer, atMost: remaining) else { return .needMore }
                state = .fixed(remaining: remaining - Int64(bytes.count))
                return .body(bytes)
            case .chunkSize:
                guard let line = try line(&buffer) else { return .needMore }
                let size = try RequestParser.chunkSize(line)
                state = size == 0 ? .trailer(count: 0) : .chunk(remaining: size)
            case .chunk(let remaining):
                if remaining == 0 {
                    state = .chunkEnd
                    continue
                }
                guard let bytes = RequestParser.take(&buffer, atMost: remaining) else { return .needMore }
                state = .chunk(remaining: remaining - Int64(bytes.count))
                return .body(bytes)
            case .chunkEnd:
                guard let line = try line(&buffer) else { return .needMore }
                guard line.isEmpty else { throw Failure(status: 400, message: "chunk longer than its size") }
                state = .chunkSize
            case .trailer(let count):
                guard let line = try line(&buffer) else { return .needMore }
                if line.isEmpty { return end() }
                guard count < RequestParser.maximumTrailerCount else {
                    throw Failure(status: 431, message: "more than \(RequestParser.maximumTrailerCount) trailers")
                }
                state = .trailer(count: count + 1)
            }
        }
    }

    private mutating func end() -> Event {
        state = .head(scanned: 0)
        return .end
    }

    private static func take(_ buffer: inout ByteBuffer, atMost count: Int64) -> [UInt8]? {
        let count = Int(min(count, Int64(buffer.readableBytes)))
        return count == 0 ? nil : buffer.readBytes(length: count)
    }

    /// A line of the chunked encoding without its CRLF, or nil when it is not complete.
    private func line(_ buffer: inout ByteBuffer) throws(Failure) -> [UInt8]? {
        let view = buffer.readableBytesView.prefix(RequestParser.maximumChunkLineSize)
        guard let newline = view.firstIndex(of: UInt8(ascii: "\n")) else {
            if view.count == RequestParser.maximumChunkLineSize {
                throw Failure(
                    status: 400, message: "chunk line longer than \(RequestParser.maximumChunkLineSize) bytes")
            }
            return nil
        }
        let line = buffer.readBytes(length: newline - view.startIndex + 1) ?? []
        guard line.count >= 2, line[line.count - 2] == UInt8(ascii: "\r") else {
            throw Failure(status: 400, message: "line without CR")
        }
        return Array(line.dropLast(2))
    }

    /// The size on a chunk's first line; extensions behind `;` are ignored.
    private static func chunkSize(_ line: [UInt8]) throws(Failure) -> Int64 {
        let digits = line.prefix { $0 != UInt8(ascii: ";") && $0 != UInt8(ascii: " ") && $0 != UInt8(ascii: "\t") }
        let isNumber =
            !digits.isEmpty && digits.count <= 15
            && digits.allSatisfy { $0 != UInt8(ascii: "-") && $0 != UInt8(ascii: "+") }
        guard isNumber, let size = Int64(String(decoding: digits, as: UTF8.self), radix: 16) else {
            throw Failure(status: 400, message: "invalid chunk size")
        }
        return size
    }

    // MARK: Head

    private mutating func head(_ buffer: inout ByteBuffer, scanned: Int) throws(Failure) -> Event {
        var scanned = scanned
        // An empty line before a request is skipped (RFC 9112, section 2.2); its CR may have been looked at before.
        while scanned <= 1, buffer.readableBytesView.starts(with: [0x0D, 0x0A]) {
            buffer.moveReaderIndex(forwardBy: 2)
            scanned = 0
        }
        guard let size = try RequestParser.headSize(buffer, from: scanned) else {
            guard buffer.readableBytes < RequestParser.maximumHeadSize else { throw RequestParser.headTooLarge }
            state = .head(scanned: buffer.readableBytes)
            return .needMore
        }
        guard size <= RequestParser.maximumHeadSize else { throw RequestParser.headTooLarge }
        let bytes = buffer.readBytes(length: size) ?? []
        let head = try RequestParser.parseHead(bytes)
        switch head.bodyLength {
        case .none: state = .fixed(remaining: 0)
        case .bytes(let count): state = .fixed(remaining: count)
        case .chunked: state = .chunkSize
        }
        return .head(head)
    }

    private static let headTooLarge = Failure(
        status: 431, message: "request head larger than \(maximumHeadSize) bytes")

    /// The size of the head with its empty line, or nil when it is not complete. The first `scanned` bytes have been
    /// looked at before.
    private static func headSize(_ buffer: ByteBuffer, from scanned: Int) throws(Failure) -> Int? {
        let found: (size: Int?, isBroken: Bool) = buffer.withUnsafeReadableBytes { bytes in
            var at = scanned
            while at < bytes.count {
                defer { at += 1 }
                guard bytes[at] == UInt8(ascii: "\n") else { continue }
                guard at >= 1, bytes[at - 1] == UInt8(ascii: "\r") else { return (nil, true) }
                if at >= 3, bytes[at - 2] == UInt8(ascii: "\n"), bytes[at - 3] == UInt8(ascii: "\r") {
                    return (at + 1, false)
                }
            }
            return (nil, false)
        }
        if found.isBroken { throw Failure(status: 400, message: "line without CR") }
        return found.size
    }
}
