import Base

/// Writes the body of a streamed response.
struct ResponseWriter: Sendable {
    let connection: Connection
    let exchange: Exchange

    /// Writes and returns when the kernel has taken the bytes: a slow client slows the writer, and nothing piles up.
    ///
    /// - Throws: `SkalaError` `.cancelled` when the client has gone.
    func write(_ bytes: [UInt8]) async throws { try await connection.writeBody(bytes, of: exchange) }

    func write(_ text: String) async throws { try await write(Array(text.utf8)) }

    /// Whether the client has gone, or has at least closed its sending side.
    var isClosed: Bool { exchange.clientHasLeft }

    /// Calls `body` once when the client leaves, at once when it has left; never after the response is over. It must not
    /// block. The task that writes the stream is cancelled as well.
    func onClose(_ body: @escaping @Sendable () -> Void) { exchange.onLeave(body) }
}
