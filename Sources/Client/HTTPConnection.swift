import Base
import CLinux
import Glibc
import Kernel

/// One connection to the engine; blocking.
public final class HTTPConnection {
    public let descriptor: OwnedDescriptor
    private var parser = ResponseParser()
    private var buffer = [UInt8](repeating: 0, count: 64 * 1024)
    /// What an answer that comes while a body is still being sent may take in memory.
    private static let maximumAhead = 1 << 20

    /// - Throws: `SkalaError` `.unavailable` or `.forbidden` saying what to do.
    public init(_ address: EngineAddress) throws(SkalaError) {
        do {
            descriptor = try UnixSocket.connect(address.path)
        } catch { throw HTTPConnection.explain(error, address) }
    }

    private static func explain(_ error: KernelError, _ address: EngineAddress) -> SkalaError {
        switch error.errno {
        case EACCES, EPERM:
            SkalaError(
                .forbidden,
                "no permission to use the engine's socket \(address.path): run as root, or join its group"
                    + " ('usermod -aG skala USER', then log in again)", cause: error)
        case ENOENT, ECONNREFUSED:
            SkalaError(
                .unavailable,
                "no engine at \(address.text): start it with 'systemctl start skala' or, as root, 'skala daemon';"
                    + " another socket is named by --host or SKALA_HOST", cause: error)
        default: SkalaError(.unavailable, "engine at \(address.text): \(error.reason)", cause: error)
        }
    }

    /// Whether a request may be sent: nothing is left of an earlier answer.
    var isIdle: Bool { parser.isIdle }

    /// Sends a request; its answer is read by `readHead`.
    public func send(_ request: HTTPRequest, upgrades: Bool = false) throws {
        parser.isWithoutBody = request.method == "HEAD"
        switch request.body {
        case .none: try sendAll(request.head(length: 0, upgrades: upgrades))
        case .json(let json):
            let body = json.bytes
            try sendAll(request.head(length: body.count, upgrades: upgrades) + body)
        case .stream(_, let next):
            try sendAll(request.head(length: nil, upgrades: upgrades))
            while true {
                let piece = try next()
                if piece.isEmpty { break }
                // An engine that refuses the request need not be sent the rest.
                guard try sendPart(Array((String(piece.count, radix: 16) + "\r\n").utf8) + piece + [13, 10]) else {
                    return
                }
            }
            _ = try sendPart(Array("0\r\n\r\n".utf8))
        }
    }

    private func sendAll(_ bytes: [UInt8]) throws {
        guard try sendPart(bytes) else {
            throw SkalaError(.unavailable, "the engine closed the connection")
        }
    }

    /// Sends while it takes in what the engine answers meanwhile; false when the engine reads no more.
    private func sendPart(_ bytes: [UInt8]) throws -> Bool {
        var sent = 0
        while sent < bytes.count {
            let count = bytes.withUnsafeBytes {
                Glibc.send(
                    descriptor.raw, $0.baseAddress?.advanced(by: sent), bytes.count - sent,
                    Int32(MSG_NOSIGNAL | MSG_DONTWAIT))
            }
            if count > 0 {
                sent += count
            } else if errno == EAGAIN {
                let reads = parser.buffered < HTTPConnection.maximumAhead
                var wanted = pollfd(
                    fd: descriptor.raw, events: Int16(POLLOUT | (reads ? POLLIN : 0)), revents: 0)
                _ = poll(&wanted, 1, -1)
                if wanted.revents & Int16(POLLIN) != 0, try !receive() { return false }
            } else if errno != EINTR {
                return false
            }
        }
        return true
    }

    /// Takes in what has come; false at the end of the connection.
    private func receive() throws -> Bool {
        while true {
            let count = recv(descriptor.raw, &buffer, buffer.count, 0)
            if count > 0 {
                parser.feed(buffer[0..<count])
                return true
            }
            if count < 0, errno == EINTR { continue }
            // A reset is as much an end as a close: the parser knows whether the answer is whole.
            parser.finish()
            return false
        }
    }

    private func next() throws -> ResponseParser.Event {
        while true {
            let event = try parser.next()
            guard case .needMore = event else { return event }
            _ = try receive()
        }
    }

    /// The head of the answer to the request sent.
    public func readHead() throws -> ResponseHead {
        guard case .head(let head) = try next() else {
            throw SkalaError(.invalid, "the engine answered out of turn")
        }
        return head
    }

    /// The next bytes of the answer's body; empty at its end.
    public func readBody() throws -> [UInt8] {
        guard case .body(let bytes) = try next() else { return [] }
        return bytes
    }

    /// The rest of the body, at most `limit` bytes.
    public func readAll(limit: Int = 256 << 20) throws -> [UInt8] {
        var body: [UInt8] = []
        while true {
            let piece = try readBody()
            if piece.isEmpty { return body }
            body += piece
            guard body.count <= limit else { throw SkalaError(.exhausted, "the engine's answer is too large") }
        }
    }

    /// What has come already of the raw stream that an upgrade began.
    public func takeEarlyBytes() -> [UInt8] { parser.takeRest() }
}
