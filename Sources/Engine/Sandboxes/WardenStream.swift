import Base
import Synchronization
import WardenProtocol

/// Standard input, output and error of a container or exec that somebody is attached to.
///
/// Flow control both ways: the warden sends no more than was credited, so a slow client costs it no memory; `send`
/// waits until the warden has taken what was sent before.
public final class WardenStream: Sendable {
    /// One piece of output.
    public struct Chunk: Sendable {
        /// 1 standard output, 2 standard error.
        public let channel: UInt8
        public let bytes: [UInt8]
    }

    private struct State {
        /// Both from the time it was opened at a warden.
        var client: WardenClient?
        var number: UInt32 = 0
        var chunks: [Chunk] = []
        /// Bytes of them.
        var unread = 0
        var reader: CheckedContinuation<Chunk?, Never>?
        var openChannels = 2
        var isEnded = false
        /// What may be sent now; nothing before the warden knows the stream, since it drops what it cannot place.
        var credit = 0
        var writer: CheckedContinuation<Void, Never>?
    }

    /// The window a stream starts with, in bytes; docs/warden-protocol.md.
    static let window = 256 * 1024

    private let state = Mutex(State())

    /// A stream that no warden knows yet: somebody attached to a container before it starts.
    init() {}

    var number: UInt32 { state.withLock { $0.number } }

    /// From now on it is the client's; called once.
    func opened(_ client: WardenClient, number: UInt32) {
        state.withLock { state in
            state.client = client
            state.number = number
        }
    }

    /// Sends to the warden; before there is one nothing has to be told.
    private func tell(_ frame: (UInt32) -> Frame) {
        let (client, number) = state.withLock { ($0.client, $0.number) }
        client?.send(frame(number))
    }

    /// The next piece of output, or nil when all output has been delivered.
    public func next() async -> Chunk? {
        let chunk: Chunk? = await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let ready: Chunk?? = state.withLock { state in
                    if !state.chunks.isEmpty {
                        let chunk = state.chunks.removeFirst()
                        state.unread -= chunk.bytes.count
                        return .some(chunk)
                    }
                    if state.isEnded { return .some(nil) }
                    state.reader = continuation
                    return nil
                }
                if let ready { continuation.resume(returning: ready) }
            }
        } onCancel: {
            end()
        }
        if let chunk { grant(chunk.bytes.count) }
        return chunk
    }

    private func grant(_ count: Int) {
        tell { Frame.credit(stream: $0, count: UInt32(count)) }
    }

    /// Sends input; returns when it is on its way and there is room for more, or the stream has ended.
    public func send(_ bytes: [UInt8]) async {
        var rest = bytes[...]
        while !rest.isEmpty {
            await waitForCredit()
            let count = state.withLock { state in
                let count = state.isEnded ? rest.count : min(rest.count, state.credit, 32 * 1024)
                state.credit -= count
                return count
            }
            let bytes = Array(rest.prefix(count))
            tell { Frame(.data, number: $0, payload: bytes) }
            rest = rest.dropFirst(count)
        }
    }

    /// No more input comes: the program reads end of file. Returns when that is on its way.
    public func closeInput() async {
        await waitForCredit()
        tell { Frame(.data, number: $0) }
    }

    /// Nothing more is sent or received.
    var hasEnded: Bool { state.withLock { $0.isEnded } }

    /// The warden has attached the stream: what waits to be sent goes.
    func connected() { addCredit(WardenStream.window) }

    /// Detaches; what runs is not touched.
    public func detach() async {
        end()
        let (client, number) = state.withLock { ($0.client, $0.number) }
        // A stream that the warden has ended already is unknown to it; nothing is left to do then.
        _ = try? await client?.request("detach", ["stream": JSON(number)])
    }

    private func waitForCredit() async {
        await withCheckedContinuation { continuation in
            let isReady = state.withLock { state in
                if state.credit > 0 || state.isEnded { return true }
                state.writer = continuation
                return false
            }
            if isReady { continuation.resume() }
        }
    }

    func addCredit(_ count: Int) {
        state.withLock { state in
            state.credit = min(state.credit + count, WardenStream.window)
            defer { state.writer = nil }
            return state.writer
        }?.resume()
    }

    func receive(_ channel: UInt8, _ bytes: [UInt8]) {
        if bytes.isEmpty {
            let isLast = state.withLock { state in
                state.openChannels -= 1
                return state.openChannels <= 0
            }
            if isLast { end() }
            return
        }
        let chunk = Chunk(channel: channel, bytes: bytes)
        let (reader, isTooMuch) = state.withLock { state in
            guard let reader = state.reader else {
                state.unread += bytes.count
                // A warden of a VM may send what it was not granted.
                let isTooMuch = state.unread > WardenStream.window
                if !state.isEnded, !isTooMuch { state.chunks.append(chunk) }
                return (CheckedContinuation<Chunk?, Never>?.none, isTooMuch)
            }
            state.reader = nil
            return (reader, false)
        }
        reader?.resume(returning: chunk)
        if isTooMuch { end() }
    }

    /// The end of the stream: what was received may still be read.
    func end() {
        let (reader, writer, client, number) = state.withLock { state in
            state.isEnded = true
            defer {
                state.reader = nil
                state.writer = nil
            }
            return (state.reader, state.writer, state.client, state.number)
        }
        reader?.resume(returning: nil)
        writer?.resume()
        client?.closeStream(number)
    }
}
