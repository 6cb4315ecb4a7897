public import Base
import Kernel
import Synchronization

/// The daemon's state on disk: JSON documents by kind and id, in one SQLite file.
///
/// Guarantees: a write that has returned survives the daemon's being killed; writes given together happen together or not
/// at all; a power cut may lose the last moments but leaves a consistent state (WAL with `synchronous=NORMAL`, see
/// sqlite.org/wal.html). Reads see every write that has returned. One process at a time has the file.
///
/// All calls run on one thread of the store's own; writes that wait at the same time share one transaction.
public final class Store: Sendable {
    /// A document, as it is written.
    public struct Document: Sendable, Hashable {
        public let kind: String
        public let id: String
        public let body: JSON

        public init(kind: String, id: String, body: JSON) {
            self.kind = kind
            self.id = id
            self.body = body
        }
    }

    /// One part of a transaction.
    public enum Change: Sendable, Hashable {
        case put(Document)
        case remove(kind: String, id: String)
    }

    /// Writes beyond this many waiting ones are refused: whoever writes faster than the disk must notice.
    public static let maximumWaitingWrites = 10_000

    private struct Write {
        let changes: [Change]
        let done: CheckedContinuation<Void, any Error>
    }

    private struct State {
        var waiting: [Write] = []
        var isClosed = false
    }

    private let threads = WorkerThreads(limit: 1)
    private let database: Database
    private let state = Mutex(State())

    /// Opens the file, or makes it (mode 0600).
    ///
    /// - Throws: `SkalaError`: `.invalid` when it is damaged or no state file, `.unsupported` when a newer Skala wrote it,
    ///   `.conflict` when another process has it, `.exhausted` when the disk is full.
    public init(path: String) async throws {
        database = try await threads.run { try Database(path: path) }
    }

    deinit {
        // Only when nobody called `close`; the thread has no more work then, and closing twice does nothing.
        threads.submit { [database] in database.close() }
    }

    /// Writes one document, replacing the one of the same kind and id.
    public func put(_ kind: String, _ id: String, _ body: JSON) async throws {
        try await apply([.put(Document(kind: kind, id: id, body: body))])
    }

    /// Writes all documents or none.
    public func putAll(_ documents: [Document]) async throws { try await apply(documents.map { .put($0) }) }

    /// Removes a document; that there is none is no error.
    public func remove(_ kind: String, _ id: String) async throws { try await apply([.remove(kind: kind, id: id)]) }

    /// Makes all changes in their order, or none.
    ///
    /// - Throws: `SkalaError`: `.exhausted` when the disk is full (earlier data stay intact, and writing works again once
    ///   there is room), `.unavailable` when the store is closed or too many writes wait.
    public func apply(_ changes: [Change]) async throws {
        if changes.isEmpty { return }
        try await withCheckedThrowingContinuation { (done: CheckedContinuation<Void, any Error>) in
            let (refusal, isFirst) = state.withLock { state -> (SkalaError?, Bool) in
                if state.isClosed { return (Store.closed, false) }
                if state.waiting.count >= Store.maximumWaitingWrites {
                    return (
                        SkalaError(.unavailable, "more than \(Store.maximumWaitingWrites) writes wait for the disk"),
                        false
                    )
                }
                state.waiting.append(Write(changes: changes, done: done))
                return (nil, state.waiting.count == 1)
            }
            if let refusal {
                done.resume(throwing: refusal)
            } else if isFirst {
                // Whoever comes before this runs joins the same transaction.
                threads.submit { self.commitWaiting() }
            }
        }
    }

    /// The documents of a kind, by id.
    public func all(_ kind: String) async throws -> [(id: String, body: JSON)] {
        try await read { try $0.all(kind) }
    }

    /// A document, or nil when there is none.
    public func get(_ kind: String, _ id: String) async throws -> JSON? { try await read { try $0.get(kind, id) } }

    /// Finishes the waiting writes and closes the file; further calls throw `.unavailable`.
    public func close() async throws {
        state.withLock { $0.isClosed = true }
        try await threads.run { [database] in database.close() }
    }

    private static let closed = SkalaError(.unavailable, "the state store is closed")

    private func read<Value: Sendable>(_ body: @escaping @Sendable (Database) throws -> Value) async throws -> Value {
        if state.withLock({ $0.isClosed }) { throw Store.closed }
        return try await threads.run { [database] in try body(database) }
    }

    /// On the store's thread.
    private func commitWaiting() {
        let writes = state.withLock { state in
            defer { state.waiting = [] }
            return state.waiting
        }
        do {
            try database.commit(writes.flatMap(\.changes))
            for write in writes { write.done.resume() }
        } catch {
            guard writes.count > 1 else {
                for write in writes { write.done.resume(throwing: error) }
                return
            }
            // One write's failure (a document too large) must not become its neighbours'.
            for write in writes { write.done.resume(with: Result { try database.commit(write.changes) }) }
        }
    }
}
