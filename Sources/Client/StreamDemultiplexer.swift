/// Takes the frames of a container's output apart: channel, three zero bytes, length (32 bits, big-endian), payload.
public struct StreamDemultiplexer: Sendable {
    public enum Channel: Sendable, Hashable { case output, error }

    private var header: [UInt8] = []
    private var left = 0
    private var channel = Channel.output

    public init() {}

    /// The payloads in `bytes`, in order. Frames may be cut anywhere.
    public mutating func take(_ bytes: [UInt8]) -> [(channel: Channel, bytes: ArraySlice<UInt8>)] {
        var pieces: [(channel: Channel, bytes: ArraySlice<UInt8>)] = []
        var rest = bytes[...]
        while !rest.isEmpty {
            if left > 0 {
                let piece = rest.prefix(left)
                pieces.append((channel, piece))
                left -= piece.count
                rest = rest.dropFirst(piece.count)
                continue
            }
            let missing = rest.prefix(8 - header.count)
            header += missing
            rest = rest.dropFirst(missing.count)
            guard header.count == 8 else { break }
            channel = header[0] == 2 ? .error : .output
            left = header[4...7].reduce(0) { $0 << 8 | Int($1) }
            header.removeAll(keepingCapacity: true)
        }
        return pieces
    }
}
