/// Docker's multiplexed stream (`application/vnd.docker.multiplexed-stream`): each piece of output has a header of eight
/// bytes: the stream, three zeros, and the length in big-endian order.
///
/// Source: Docker Engine API, "Attach to a container", section "Stream format".
enum StreamFraming {
    enum Stream: UInt8, Sendable {
        case standardInput = 0
        case standardOutput = 1
        case standardError = 2
        /// An error of the daemon itself; clients show it and end.
        case systemError = 3
    }

    static let headerSize = 8
    /// Longer output is split, so that readers can bound their buffers.
    static let maximumPayload = 64 << 10

    static func header(_ stream: Stream, length: Int) -> [UInt8] {
        precondition((0...Int(UInt32.max)).contains(length))
        return [
            stream.rawValue, 0, 0, 0,
            UInt8(truncatingIfNeeded: length >> 24), UInt8(truncatingIfNeeded: length >> 16),
            UInt8(truncatingIfNeeded: length >> 8), UInt8(truncatingIfNeeded: length),
        ]
    }

    /// The framed form of `payload`; nothing for an empty one (a reader would take it for the end).
    static func frame(_ stream: Stream, _ payload: some Collection<UInt8>) -> [UInt8] {
        var output: [UInt8] = []
        output.reserveCapacity(payload.count + (payload.count / maximumPayload + 1) * headerSize)
        var rest = payload[...]
        while !rest.isEmpty {
            let piece = rest.prefix(maximumPayload)
            output += header(stream, length: piece.count)
            output += piece
            rest = rest.dropFirst(piece.count)
        }
        return output
    }
}
