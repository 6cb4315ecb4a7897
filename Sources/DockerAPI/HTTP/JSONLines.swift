import Base

/// Writes the progress of pull, push, load and build: one JSON object after another, each ended by CRLF, as Docker does.
struct JSONLines: Sendable {
    let writer: ResponseWriter

    init(_ writer: ResponseWriter) { self.writer = writer }

    /// Writes one message.
    ///
    /// - Throws: `SkalaError` `.cancelled` when the client has gone.
    func write(_ message: JSON) async throws {
        var bytes = message.bytes
        bytes += [0x0D, 0x0A]
        try await writer.write(bytes)
    }

    /// Writes a failure in the form clients look for. The status has been sent by then: this is how it reaches the user.
    func write(_ error: SkalaError) async throws {
        try await write([
            "errorDetail": ["message": .string(error.message)], "error": .string(error.message),
        ])
    }

    /// A response of such lines. An error thrown by `produce` becomes the last line.
    static func response(_ produce: @escaping @Sendable (JSONLines) async throws -> Void) -> Response {
        .stream(contentType: "application/json") { writer in
            let lines = JSONLines(writer)
            do {
                try await produce(lines)
            } catch {
                let failure = skalaError(from: error)
                if failure.code == .cancelled { throw failure }
                try await lines.write(failure)
            }
        }
    }

    /// Runs something that reports progress, one JSON object a line as it comes.
    static func progress(
        _ work: @escaping @Sendable (@escaping @Sendable (JSON) -> Void) async throws -> Void
    ) -> Response {
        response { lines in
            // Progress may be dropped for a slow client; its end, and errors, never are.
            let (stream, continuation) = AsyncStream.makeStream(of: JSON.self, bufferingPolicy: .bufferingNewest(1024))
            let working = Task {
                defer { continuation.finish() }
                try await work { continuation.yield($0) }
            }
            lines.writer.onClose { working.cancel() }
            for await message in stream { try await lines.write(message) }
            try await working.value
        }
    }
}
