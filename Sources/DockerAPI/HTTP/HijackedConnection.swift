import Base

/// A connection that has left HTTP: raw bytes in both directions.
///
/// Reading and writing are independent; each is done by one task at a time.
struct HijackedConnection: Sendable {
    let connection: Connection
    let exchange: Exchange
    let input: BytePipe

    /// The next bytes, or nil when the client has closed its sending side. Bytes that came right after the request's
    /// head are the first. Output stays open at the client's half close.
    ///
    /// - Throws: `CancellationError`.
    func read() async throws -> [UInt8]? { try await input.read() }

    /// Writes and returns when the kernel has taken the bytes.
    ///
    /// - Throws: `SkalaError` `.cancelled` when the client has gone.
    func write(_ bytes: [UInt8]) async throws { try await connection.writeRaw(bytes, of: exchange) }

    /// Ends the output; the client sees the end of the stream and may go on sending.
    func closeOutput() async { await connection.closeOutput(of: exchange) }

    /// Ends both directions.
    func close() { connection.closeNow() }

    /// Whether the client has gone.
    var isClosed: Bool { exchange.clientHasLeft }

    /// Calls `body` once when the client has gone, at once when it has already. It must not block.
    func onClose(_ body: @escaping @Sendable () -> Void) { exchange.onLeave(body) }
}
