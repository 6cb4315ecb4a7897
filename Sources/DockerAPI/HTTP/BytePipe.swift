import Base
import Synchronization

/// Bytes on their way from the event loop to one reading task, bounded.
///
/// The loop pushes while `hasRoom`; when it has stopped, the reader's `demand` asks for more. One reader at a time.
final class BytePipe: Sendable {
    /// The loop stops reading from the socket above this many bytes. One more read (at most 64 KiB) may follow.
    static let highWaterMark = 256 << 10

    private struct State {
        var chunks: [[UInt8]] = []
        var byteCount = 0
        var end: Result<Void, any Error>?
        var reader: CheckedContinuation<[UInt8]?, any Error>?
    }

    private let state = Mutex(State())
    private let demand: @Sendable () -> Void

    /// - Parameter demand: called from the reader's thread when it wants bytes and few or none are there.
    init(demand: @escaping @Sendable () -> Void) { self.demand = demand }

    /// Whether the loop should push more.
    var hasRoom: Bool { state.withLock { $0.byteCount < BytePipe.highWaterMark } }

    func push(_ bytes: [UInt8]) {
        if bytes.isEmpty { return }
        let reader = state.withLock { state -> CheckedContinuation<[UInt8]?, any Error>? in
            guard state.end == nil else { return nil }
            if let reader = state.reader {
                state.reader = nil
                return reader
            }
            state.chunks.append(bytes)
            state.byteCount += bytes.count
            return nil
        }
        reader?.resume(returning: bytes)
    }

    /// No more bytes come; what is buffered is still delivered. Only the first call counts.
    func finish(_ end: Result<Void, any Error> = .success(())) {
        let reader = state.withLock { state -> CheckedContinuation<[UInt8]?, any Error>? in
            guard state.end == nil else { return nil }
            state.end = end
            defer { state.reader = nil }
            return state.reader
        }
        reader?.resume(with: end.map { nil })
    }

    /// Throws away what is buffered; further bytes too.
    func abandon() {
        state.withLock { state in
            state.chunks = []
            state.byteCount = 0
        }
        finish(.failure(SkalaError(.cancelled, "the request is over")))
    }

    /// The next bytes, or nil at the end.
    ///
    /// - Throws: what `finish` was given, or `CancellationError`.
    func read() async throws -> [UInt8]? {
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                let (result, wantsMore) = state.withLock { state -> (Result<[UInt8]?, any Error>?, Bool) in
                    if Task.isCancelled { return (.failure(CancellationError()), false) }
                    if !state.chunks.isEmpty {
                        // The queue holds a few chunks at most (see highWaterMark), so shifting them is cheap.
                        let chunk = state.chunks.removeFirst()
                        state.byteCount -= chunk.count
                        return (.success(chunk), state.end == nil && state.byteCount < BytePipe.highWaterMark / 2)
                    }
                    if let end = state.end { return (end.map { nil }, false) }
                    precondition(state.reader == nil, "a byte pipe has one reader")
                    state.reader = continuation
                    return (nil, true)
                }
                if let result { continuation.resume(with: result) }
                if wantsMore { demand() }
            }
        } onCancel: {
            let reader = state.withLock { state in
                defer { state.reader = nil }
                return state.reader
            }
            reader?.resume(throwing: CancellationError())
        }
    }
}
