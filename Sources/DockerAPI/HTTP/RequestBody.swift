import Base
import Glibc
import Kernel

/// The body of a request, read once, by one task.
///
/// Bytes are taken from the socket only as fast as they are read here: a slow reader slows the client.
final class RequestBody: Sendable {
    private let pipe: BytePipe
    /// The Content-Length, where the client gave one.
    let length: Int64?

    init(pipe: BytePipe, length: Int64?) {
        self.pipe = pipe
        self.length = length
    }

    /// The body as a sequence of pieces, none empty.
    var chunks: Chunks { Chunks(pipe: pipe) }

    struct Chunks: AsyncSequence, AsyncIteratorProtocol, Sendable {
        typealias Element = [UInt8]
        fileprivate let pipe: BytePipe
        func makeAsyncIterator() -> Chunks { self }
        mutating func next() async throws -> [UInt8]? { try await pipe.read() }
    }

    /// The whole body.
    ///
    /// - Throws: `SkalaError` `.invalid` when it is larger than `limit` bytes, `.cancelled` when the client goes.
    func collect(upTo limit: Int) async throws -> [UInt8] {
        if let length, length > Int64(limit) { throw RequestBody.tooLarge(limit) }
        var body: [UInt8] = []
        while let chunk = try await pipe.read() {
            guard body.count + chunk.count <= limit else { throw RequestBody.tooLarge(limit) }
            if body.isEmpty { body = chunk } else { body += chunk }
        }
        return body
    }

    /// The body as JSON; `.null` when there is none.
    ///
    /// - Throws: `SkalaError` `.invalid`.
    func json(upTo limit: Int = 4 << 20) async throws -> JSON {
        let bytes = try await collect(upTo: limit)
        return bytes.isEmpty ? .null : try JSON(parsing: bytes)
    }

    /// Writes the body to a descriptor (a pipe or a file, blocking or not), each piece on one of `threads`.
    ///
    /// - Throws: `KernelError` when the descriptor refuses (its reader has gone, the disk is full), `.cancelled` when
    ///   the client goes. The descriptor stays open.
    func write(to descriptor: Int32, on threads: WorkerThreads) async throws {
        while let chunk = try await pipe.read() {
            try await threads.run { try RequestBody.writeAll(chunk, to: descriptor) }
        }
    }

    private static func writeAll(_ bytes: [UInt8], to descriptor: Int32) throws(KernelError) {
        var offset = 0
        while offset < bytes.count {
            let count = bytes.withUnsafeBytes {
                Glibc.write(descriptor, $0.baseAddress?.advanced(by: offset), bytes.count - offset)
            }
            if count >= 0 {
                offset += count
            } else if errno == EAGAIN {
                var poll = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
                _ = Glibc.poll(&poll, 1, 1000)
            } else if errno != EINTR {
                throw KernelError("write", "request body", errno: errno)
            }
        }
    }

    private static func tooLarge(_ limit: Int) -> SkalaError {
        SkalaError(.invalid, "request body larger than \(limit) bytes")
    }
}
