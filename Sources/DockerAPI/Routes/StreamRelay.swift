import Base
import Engine

/// Carries a process's streams over a hijacked connection: raw with a terminal, framed without.
struct StreamRelay {
    let connection: HijackedConnection
    let raw: Bool

    static func contentType(raw: Bool) -> String {
        raw ? "application/vnd.docker.raw-stream" : "application/vnd.docker.multiplexed-stream"
    }

    func send(_ channel: UInt8, _ bytes: [UInt8]) async throws {
        let stream: StreamFraming.Stream = channel == 2 ? .standardError : .standardOutput
        try await connection.write(raw ? bytes : StreamFraming.frame(stream, bytes))
    }

    /// Sends a text as standard output, and ends.
    func tell(_ text: String) async {
        // A client that has gone hears nothing.
        try? await send(1, Array(text.utf8))
        await connection.closeOutput()
        connection.close()
    }

    /// Relays until the output has ended or the client has gone. The client's half close ends the input only.
    ///
    /// - Parameter beforeEnd: awaited before the client sees the end.
    func run(_ attachment: Attachment, beforeEnd: () async -> Void = {}) async {
        let stream = attachment.stream
        let input = Task {
            guard attachment.stdin else { return }
            do {
                while let bytes = try await connection.read() { await stream.send(bytes) }
            } catch { return }  // the client has gone: the output side notices too
            // A terminal outlives who was typing: another may attach to it.
            if attachment.endsInput, !raw { await stream.closeInput() }
        }
        connection.onClose { Task { await stream.detach() } }
        do {
            while let chunk = await stream.next() { try await send(chunk.channel, chunk.bytes) }
        } catch { await stream.detach() }
        input.cancel()
        await beforeEnd()
        await connection.closeOutput()
        connection.close()
    }
}
