import Base
import Images
import Kernel
import Synchronization

/// Work on files and processes of a container by the warden in its VM (the operation `helper` of the protocol). What
/// comes from there is a stranger's: its amount is bounded, and a guest that stands still loses the work.
struct GuestHelper: Sendable {
    let machine: VirtualMachine
    let threads: WorkerThreads

    /// How long the guest may take to go on, in nanoseconds. The client's slowness does not count.
    private static let patience: UInt64 = 120_000_000_000
    private static let startDeadline = 30.0
    private static let verdictLimit = 16 << 10

    /// Asks for a document.
    ///
    /// - Throws: what the helper said; `.invalid` when it is longer than `limit` bytes; `.unavailable` when the VM ended.
    func document(_ verb: String, _ fields: JSON, limit: Int) async throws -> JSON {
        let bytes = Mutex<[UInt8]>([])
        try await run(verb, fields) { chunk in
            let count = bytes.withLock { bytes in
                bytes += chunk
                return bytes.count
            }
            guard count <= limit else { throw SkalaError(.invalid, "the VM tells more than \(limit) bytes") }
        }
        return try JSON(parsing: bytes.withLock { $0 })
    }

    /// Writes the archive that the helper makes to a descriptor.
    ///
    /// - Parameter limit: bytes beyond which it is refused.
    func archive(_ verb: String, _ fields: JSON, to output: Int32, limit: Int64 = .max) async throws {
        let total = Mutex<Int64>(0)
        try await run(verb, fields) { chunk in
            let count = total.withLock { total in
                total += Int64(chunk.count)
                return total
            }
            guard count <= limit else {
                throw SkalaError(.exhausted, "the VM's files make more than \(ByteSize.decimal(limit))")
            }
            try await threads.run { try FileContents.append(chunk, to: output, "the archive") }
        }
    }

    /// Hands the helper an archive of any form, decoded.
    ///
    /// - Parameter verb: `unpack`, or `apply` for a layer.
    func unpack(_ verb: String, _ fields: JSON, from input: Int32) async throws {
        try await run(verb, fields, input: { try await feed(input, to: $0) }) { _ in
            throw SkalaError(.invalid, "the VM answers what was not asked for")
        }
    }

    private func feed(_ input: Int32, to stream: WardenStream) async throws {
        let (read, write) = try Pipe.make()
        let decoding = Task { [threads] in
            defer { write.close() }
            try await threads.run { try AnyArchive.rewrite(from: input, to: write.raw) }
        }
        do {
            while !stream.hasEnded {
                let bytes = try await threads.run { try Pipe.read(read.raw, upTo: 64 << 10) }
                if bytes.isEmpty { break }
                try await patiently(stream) { await stream.send(bytes) }
            }
        } catch {
            read.close()
            _ = await decoding.result
            throw error
        }
        // The decoder ends on its broken pipe when the helper wants no more: then that says why.
        read.close()
        let decoded = await decoding.result
        if !stream.hasEnded { try decoded.get() }
        try await patiently(stream) { await stream.closeInput() }
    }

    // MARK: the stream

    private func run(
        _ verb: String, _ fields: JSON, input: (@Sendable (WardenStream) async throws -> Void)? = nil,
        output: @Sendable ([UInt8]) async throws -> Void
    ) async throws {
        let stream = WardenStream()
        try machine.open(stream)
        var request = fields
        request["verb"] = JSON(verb)
        request["stream"] = JSON(stream.number)
        for name in ["stdin", "stdout", "stderr"] { request[name] = true }
        do {
            try await machine.request("helper", request, seconds: GuestHelper.startDeadline)
            stream.connected()
        } catch {
            stream.end()
            throw error
        }
        var verdict: [UInt8] = []
        do {
            try await input?(stream)
            while let chunk = try await patiently(stream, { await stream.next() }) {
                if chunk.channel == 1 {
                    try await output(chunk.bytes)
                } else {
                    verdict += chunk.bytes
                    guard verdict.count <= GuestHelper.verdictLimit else {
                        throw SkalaError(.invalid, "the VM's words have no end")
                    }
                }
            }
            try GuestHelper.check(verdict)
        } catch {
            // It may still run. A guest that does not answer is not waited for.
            Task { await stream.detach() }
            throw error
        }
    }

    private static func check(_ verdict: [UInt8]) throws {
        guard !verdict.isEmpty, let json = try? JSON(parsing: verdict), json.object != nil else {  // it was cut short
            throw SkalaError(.unavailable, "the VM ended, or was interrupted")
        }
        guard let message = json["message"].string else { return }
        throw SkalaError(json["code"].string.flatMap(SkalaError.Code.init(rawValue:)) ?? .system, message)
    }

    /// Waits for the guest, but not for ever.
    private func patiently<Value>(_ stream: WardenStream, _ wait: () async -> Value) async throws -> Value {
        let late = Promise<Void>()
        let timer = Task {
            try await Task.sleep(nanoseconds: GuestHelper.patience)
            late.fulfil(())
            stream.end()
        }
        let value = await wait()
        timer.cancel()
        guard late.current == nil else { throw SkalaError(.timedOut, "the VM does not go on") }
        return value
    }
}
