import Glibc

/// A client on a plain socket, which blocks: tests see every byte. Use it on worker threads only.
final class RawClient: @unchecked Sendable {
    // @unchecked: a test uses one client from one thread at a time.
    struct Failure: Error, CustomStringConvertible {
        let description: String
    }

    private let socket: Int32
    private var buffered: [UInt8] = []

    /// - Parameter receiveBuffer: bytes; small ones show back-pressure sooner.
    init(_ path: String, receiveBuffer: Int32? = nil) throws {
        socket = Glibc.socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        if var size = receiveBuffer {
            setsockopt(socket, SOL_SOCKET, SO_RCVBUF, &size, socklen_t(MemoryLayout<Int32>.size))
        }
        var deadline = timeval(tv_sec: 30, tv_usec: 0)
        setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &deadline, socklen_t(MemoryLayout<timeval>.size))
        setsockopt(socket, SOL_SOCKET, SO_SNDTIMEO, &deadline, socklen_t(MemoryLayout<timeval>.size))
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: Array(path.utf8)) }
        let size = socklen_t(MemoryLayout<sockaddr_un>.size)
        let connected = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { connect(socket, $0, size) }
        }
        guard connected == 0 else { throw Failure(description: "connect \(path): errno \(errno)") }
    }

    deinit { close(socket) }

    func send(_ text: String) throws { try send(Array(text.utf8)) }

    func send(_ bytes: [UInt8]) throws {
        var offset = 0
        while offset < bytes.count {
            let count = bytes.withUnsafeBytes {
                Glibc.send(socket, $0.baseAddress?.advanced(by: offset), bytes.count - offset, Int32(MSG_NOSIGNAL))
            }
            guard count > 0 else { throw Failure(description: "send: errno \(errno)") }
            offset += count
        }
    }

    func closeSending() { shutdown(socket, Int32(SHUT_WR)) }

    /// Some bytes; none at the end of the stream. A reset is an end too: a server that closes a connection with bytes
    /// unread, or before it was accepted, resets it.
    func receive(atMost count: Int = 64 << 10) throws -> [UInt8] {
        if !buffered.isEmpty {
            let taken = Array(buffered.prefix(count))
            buffered.removeFirst(taken.count)
            return taken
        }
        var bytes = [UInt8](repeating: 0, count: count)
        let received = recv(socket, &bytes, count, 0)
        if received < 0, errno == ECONNRESET { return [] }
        guard received >= 0 else { throw Failure(description: "receive: errno \(errno)") }
        return Array(bytes.prefix(received))
    }

    func receive(exactly count: Int) throws -> [UInt8] {
        var bytes: [UInt8] = []
        while bytes.count < count {
            let more = try receive(atMost: count - bytes.count)
            guard !more.isEmpty else {
                throw Failure(description: "end of stream after \(bytes.count) of \(count) bytes")
            }
            bytes += more
        }
        return bytes
    }

    func receiveToEnd() throws -> [UInt8] {
        var bytes: [UInt8] = []
        while true {
            let more = try receive()
            if more.isEmpty { return bytes }
            bytes += more
        }
    }

    /// The next head, up to and with its empty line.
    func receiveHead() throws -> String {
        var bytes: [UInt8] = []
        while true {
            let more = try receive()
            guard !more.isEmpty else {
                throw Failure(description: "end of stream in a head: \(String(decoding: bytes, as: UTF8.self))")
            }
            bytes += more
            let text = String(decoding: bytes, as: UTF8.self)
            guard let end = text.range(ofEnd: "\r\n\r\n") else { continue }
            buffered = Array(bytes[end...]) + buffered
            return String(decoding: bytes[..<end], as: UTF8.self)
        }
    }

    /// A whole response with a Content-Length or chunks.
    func receiveResponse(to method: String = "GET") throws -> (head: String, body: String) {
        let head = try receiveHead()
        if method == "HEAD" { return (head, "") }
        if head.lowercased().contains("transfer-encoding: chunked") {
            return (head, String(decoding: try receiveChunks(), as: UTF8.self))
        }
        let line = head.split(separator: "\r\n").first { $0.lowercased().hasPrefix("content-length:") }
        let count = line.flatMap { Int($0.drop { $0 != " " }.dropFirst()) } ?? 0
        return (head, String(decoding: try receive(exactly: count), as: UTF8.self))
    }

    private func receiveChunks() throws -> [UInt8] {
        var body: [UInt8] = []
        while true {
            var line: [UInt8] = []
            while line.last != UInt8(ascii: "\n") { line += try receive(exactly: 1) }
            guard let size = Int(String(decoding: line.dropLast(2), as: UTF8.self), radix: 16) else {
                throw Failure(description: "bad chunk size")
            }
            body += try receive(exactly: size)
            guard try receive(exactly: 2) == [0x0D, 0x0A] else { throw Failure(description: "bad chunk end") }
            if size == 0 { return body }
        }
    }
}

extension String {
    /// The byte offset behind the first occurrence of `text`.
    fileprivate func range(ofEnd text: String) -> Int? {
        let bytes = Array(utf8)
        let wanted = Array(text.utf8)
        guard bytes.count >= wanted.count else { return nil }
        return (0...bytes.count - wanted.count).first { bytes[$0..<$0 + wanted.count].elementsEqual(wanted) }
            .map { $0 + wanted.count }
    }
}
