import Base
import Kernel

/// An answer whose body is read as it comes.
public final class HTTPResponse {
    public let head: ResponseHead
    private let connection: HTTPConnection
    private let onEnd: (HTTPConnection) -> Void
    private var hasEnded = false
    private var line: [UInt8] = []

    init(_ head: ResponseHead, _ connection: HTTPConnection, onEnd: @escaping (HTTPConnection) -> Void) {
        self.head = head
        self.connection = connection
        self.onEnd = onEnd
    }

    /// To be polled by those who wait for several things; bytes may also be buffered already.
    public var descriptor: Int32 { connection.descriptor.raw }

    /// The next bytes; empty at the end.
    public func next() throws -> [UInt8] {
        if hasEnded { return [] }
        let bytes = try connection.readBody()
        if bytes.isEmpty {
            hasEnded = true
            onEnd(connection)
        }
        return bytes
    }

    public func all() throws -> [UInt8] {
        var body: [UInt8] = []
        while true {
            let piece = try next()
            if piece.isEmpty { return body }
            body += piece
        }
    }

    /// The body as one JSON document; `.null` when it is empty.
    public func json() throws -> JSON {
        let body = try all()
        return body.isEmpty ? .null : try JSON(parsing: body)
    }

    /// Hands on the messages of work that the engine reports on while it is under way.
    ///
    /// - Throws: the engine's error message, at once.
    public func messages(_ body: (JSON) throws -> Void) throws {
        while let message = try nextDocument() {
            if let error = message["errorDetail"]["message"].string ?? message["error"].string {
                throw SkalaError(.system, error)
            }
            try body(message)
        }
    }

    /// The next of a body's JSON documents, one a line; nil at the end.
    public func nextDocument() throws -> JSON? {
        while true {
            if let end = line.firstIndex(of: 0x0A) {
                let text = Array(line[..<end])
                line.removeSubrange(...end)
                if text.allSatisfy({ $0 == 0x0D || $0 == 0x20 }) { continue }
                return try JSON(parsing: text)
            }
            let piece = try next()
            if piece.isEmpty {
                guard !line.isEmpty else { return nil }
                defer { line = [] }
                return try JSON(parsing: line)
            }
            line += piece
        }
    }
}
