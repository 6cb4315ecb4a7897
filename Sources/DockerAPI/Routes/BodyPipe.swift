import Base
import CLinux
import Kernel

/// Connects bodies of requests and responses to code that reads or writes a file descriptor, through a pipe: whatever
/// their size, no more than the pipe's buffer is kept.
///
/// Each has threads of its own: one that waits for its client, or for the other end, must not keep others from theirs.
enum BodyPipe {
    private static func make() throws -> (read: OwnedDescriptor, write: OwnedDescriptor) {
        var ends: [Int32] = [0, 0]
        try check(cl_pipe2(&ends, 0), "pipe2")
        return (OwnedDescriptor(ends[0]), OwnedDescriptor(ends[1]))
    }

    /// Hands `work` a descriptor from which it reads the request's body.
    static func reading<Value: Sendable>(
        _ body: RequestBody, _ work: @escaping @Sendable (OwnedDescriptor) async throws -> Value
    ) async throws -> Value {
        let threads = WorkerThreads(limit: 2)
        let (read, write) = try make()
        let feeding = Task {
            defer { write.close() }
            try await body.write(to: write.raw, on: threads)
        }
        defer { read.close() }
        let value = try await work(read)
        // What is left unread is none of the work's: it has all it wants.
        read.close()
        _ = await feeding.result
        return value
    }

    /// Hands `work` a descriptor; what it writes there is the response's body.
    static func writing(
        _ writer: ResponseWriter, _ work: @escaping @Sendable (Int32) async throws -> Void
    ) async throws {
        let threads = WorkerThreads(limit: 2)
        let (read, write) = try make()
        let working = Task {
            defer { write.close() }
            try await work(write.raw)
        }
        do {
            while true {
                let bytes = try await threads.run { try Pipe.read(read.raw, upTo: 64 * 1024) }
                if bytes.isEmpty { break }
                try await writer.write(bytes)
            }
        } catch {
            // The client has gone: the work ends on its broken pipe.
            read.close()
            _ = await working.result
            throw error
        }
        try await working.value
    }
}
