/// One message between engine and warden; the layout is in docs/warden-protocol.md.
public struct Frame: Sendable, Hashable {
    public enum Kind: UInt8, Sendable, CaseIterable {
        case request = 1
        case answer, failure, event, data, credit

        /// The longest payload, in bytes.
        public var maximumLength: Int {
            switch self {
            case .data: 64 << 10
            case .credit: 4
            case .request, .answer, .failure, .event: 4 << 20
            }
        }
    }

    public static let headerLength = 12

    public var kind: Kind
    /// 0 stdin, 1 stdout, 2 stderr; 0 for everything but data.
    public var channel: UInt8
    /// The number of the request, or of the stream.
    public var number: UInt32
    public var payload: [UInt8]

    public init(_ kind: Kind, number: UInt32, channel: UInt8 = 0, payload: [UInt8] = []) {
        precondition(payload.count <= kind.maximumLength, "a \(kind) frame of \(payload.count) bytes")
        self.kind = kind
        self.channel = channel
        self.number = number
        self.payload = payload
    }

    /// A frame that lets the other side send `count` more bytes of a stream.
    public static func credit(stream: UInt32, count: UInt32) -> Frame {
        Frame(.credit, number: stream, payload: withUnsafeBytes(of: count.littleEndian) { Array($0) })
    }

    /// The bytes a credit frame grants; nil for other kinds.
    public var creditCount: UInt32? {
        guard kind == .credit, payload.count == 4 else { return nil }
        return UInt32(payload[0]) | UInt32(payload[1]) << 8 | UInt32(payload[2]) << 16 | UInt32(payload[3]) << 24
    }

    /// Appends the frame's bytes.
    public func write(to output: inout [UInt8]) {
        output.reserveCapacity(output.count + Frame.headerLength + payload.count)
        withUnsafeBytes(of: UInt32(payload.count).littleEndian) { output.append(contentsOf: $0) }
        output.append(kind.rawValue)
        output.append(channel)
        output.append(0)
        output.append(0)
        withUnsafeBytes(of: number.littleEndian) { output.append(contentsOf: $0) }
        output.append(contentsOf: payload)
    }
}
