public import Base

/// Turns received bytes into frames: a pure state machine that holds at most one incomplete frame.
///
/// After an error the stream cannot be read on: the connection ends.
public struct FrameDecoder: Sendable {
    private var buffer: [UInt8] = []
    private var start = 0

    public init() {}

    /// Bytes received that do not yet make a frame.
    public var pendingCount: Int { buffer.count - start }

    public mutating func append(_ bytes: some Collection<UInt8>) {
        if start > 0 {
            buffer.removeFirst(start)
            start = 0
        }
        buffer.append(contentsOf: bytes)
    }

    /// The next complete frame, or nil when more bytes are needed.
    ///
    /// - Throws: `SkalaError` `.invalid` when the bytes break the protocol; the length is checked before it is awaited.
    public mutating func next() throws(SkalaError) -> Frame? {
        guard pendingCount >= Frame.headerLength else { return nil }
        let length = Int(word(at: 0))
        let kindByte = buffer[start + 4], channel = buffer[start + 5]
        guard let kind = Frame.Kind(rawValue: kindByte) else {
            throw SkalaError(.invalid, "unknown frame kind \(kindByte)")
        }
        guard length <= kind.maximumLength else {
            throw SkalaError(.invalid, "a \(kind) frame of \(length) bytes; at most \(kind.maximumLength)")
        }
        guard buffer[start + 6] == 0, buffer[start + 7] == 0 else {
            throw SkalaError(.invalid, "the reserved bytes of a frame are not zero")
        }
        guard channel <= (kind == .data ? 2 : 0) else {
            throw SkalaError(.invalid, "a \(kind) frame on channel \(channel)")
        }
        guard kind != .credit || length == 4 else { throw SkalaError(.invalid, "a credit frame of \(length) bytes") }
        guard pendingCount >= Frame.headerLength + length else { return nil }
        let first = start + Frame.headerLength
        let frame = Frame(
            kind, number: word(at: 8), channel: channel, payload: Array(buffer[first..<first + length]))
        start = first + length
        return frame
    }

    private func word(at offset: Int) -> UInt32 {
        let at = start + offset
        return UInt32(buffer[at]) | UInt32(buffer[at + 1]) << 8 | UInt32(buffer[at + 2]) << 16
            | UInt32(buffer[at + 3]) << 24
    }
}
