import Base
import CLinux
import Glibc
import Kernel
import Synchronization
import WardenProtocol

/// The engine's end of one warden's protocol: requests with answers in any order, events, and streams.
///
/// One thread reads; writers share a lock. When the connection ends every waiting request fails with `.unavailable`,
/// every stream ends, and `onClose` is called once.
final class WardenClient: Sendable {
    private struct State {
        var nextNumber: UInt32 = 1
        var waiting: [UInt32: CheckedContinuation<JSON, any Error>] = [:]
        var streams: [UInt32: WardenStream] = [:]
        var isClosed = false
        var hasMisbehaved = false
    }

    private let socket: OwnedDescriptor
    private let isTrusted: Bool
    private let state = Mutex(State())
    private let writing = Mutex(())
    private let reader = WorkerThreads(limit: 1)
    private let onEvent: @Sendable (JSON) -> Void
    private let onClose: @Sendable (WardenClient) -> Void

    /// Connects to the warden's unix socket.
    ///
    /// - Parameters:
    ///   - isTrusted: one that is not, in a VM, loses the connection when it says much that it was not asked.
    ///   - onClose: called once, with this, when it is open no more.
    init(
        path: String, isTrusted: Bool, onEvent: @escaping @Sendable (JSON) -> Void,
        onClose: @escaping @Sendable (WardenClient) -> Void
    ) throws(KernelError) {
        self.isTrusted = isTrusted
        socket = try UnixSocket.connect(path)
        self.onEvent = onEvent
        self.onClose = onClose
        reader.submit { [self] in readLoop() }
    }

    /// Sends one request and waits for its answer.
    ///
    /// - Parameter limit: nanoseconds; a warden that has not answered by then loses the connection.
    /// - Throws: the warden's `SkalaError`, `.unavailable` when the connection is gone.
    func request(_ operation: String, _ fields: JSON = [:], within limit: Int64? = nil) async throws -> JSON {
        var message = fields
        message["op"] = JSON(operation)
        let payload = message.bytes
        let number = state.withLock { state in
            defer { state.nextNumber &+= 1 }
            return state.nextNumber
        }
        let timer = limit.map { limit in
            Task {
                try await Task.sleep(nanoseconds: UInt64(limit))
                // What was answered in time may not have been taken in yet: that is not the warden's fault.
                if state.withLock({ $0.waiting[number] != nil }) { close() }
            }
        }
        defer { timer?.cancel() }
        return try await withCheckedThrowingContinuation { continuation in
            let isOpen = state.withLock { state in
                if !state.isClosed { state.waiting[number] = continuation }
                return !state.isClosed
            }
            guard isOpen else { return continuation.resume(throwing: WardenClient.gone) }
            send(Frame(.request, number: number, payload: payload))
        }
    }

    /// Says hello; a warden that does not answer in time, in nanoseconds, loses the connection.
    ///
    /// - Throws: `.unavailable` then, `.conflict` when it is of another release.
    func greet(version: String, within limit: Int64) async throws {
        let answer = try await request("hello", ["version": JSON(version)], within: limit)
        let spoken = answer["version"].string ?? "none"
        guard spoken == ProtocolVersion.current else {
            throw SkalaError(
                .conflict,
                "it was started by another version of Skala: its warden speaks version \(spoken) of the protocol, and this "
                    + "daemon version \(ProtocolVersion.current); start it anew")
        }
    }

    var isOpen: Bool { state.withLock { !$0.isClosed } }

    /// Whether the connection ended since the warden said too much, or what is no frame.
    var hasMisbehaved: Bool { state.withLock { $0.hasMisbehaved } }

    /// The events of those that ended while nobody was connected, of the answer to `list`.
    static func exits(in list: JSON) -> [JSON] {
        (list["containers"].array ?? []).filter { $0["status"].string == "stopped" }.map { state in
            var event = state
            event["event"] = "exit"
            return event
        }
    }

    static let gone = SkalaError(.unavailable, "the warden is not running")

    /// Gives a stream its number, to pass to `attach`.
    func open(_ stream: WardenStream) {
        let isClosed = state.withLock { state in
            stream.opened(self, number: state.nextNumber)
            if !state.isClosed { state.streams[state.nextNumber] = stream }
            state.nextNumber &+= 1
            return state.isClosed
        }
        if isClosed { stream.end() }
    }

    func closeStream(_ number: UInt32) { _ = state.withLock { $0.streams.removeValue(forKey: number) } }

    func send(_ frame: Frame) {
        var bytes: [UInt8] = []
        frame.write(to: &bytes)
        let encoded = bytes
        let delivered = writing.withLock { _ in UnixSocket.writeAll(socket.raw, encoded) }
        if !delivered { shutdown(socket.raw, Int32(SHUT_RDWR)) }
    }

    /// Ends the connection; the warden and what it runs go on.
    func close() { shutdown(socket.raw, Int32(SHUT_RDWR)) }

    private func readLoop() {
        var decoder = FrameDecoder()
        var budget = FrameBudget(now: SystemClock.monotonicNanoseconds())
        var buffer = [UInt8](repeating: 0, count: 64 * 1024)
        reading: while true {
            let count = buffer.withUnsafeMutableBytes { read(socket.raw, $0.baseAddress, $0.count) }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { break }
            decoder.append(buffer[0..<count])
            do {
                while let frame = try decoder.next() {
                    guard !receive(frame), !isTrusted else { continue }
                    guard budget.spend(now: SystemClock.monotonicNanoseconds()) else {
                        state.withLock { $0.hasMisbehaved = true }
                        break reading
                    }
                }
            } catch {
                state.withLock { $0.hasMisbehaved = true }
                break reading
            }
        }
        // The other end sees at once that nobody listens any more: a VM's takes no other connection before.
        close()
        let (waiting, streams) = state.withLock { state in
            state.isClosed = true
            defer {
                state.waiting = [:]
                state.streams = [:]
            }
            return (Array(state.waiting.values), Array(state.streams.values))
        }
        for continuation in waiting { continuation.resume(throwing: WardenClient.gone) }
        for stream in streams { stream.end() }
        onClose(self)
    }

    /// - Returns: whether it belongs to something that was asked for.
    private func receive(_ frame: Frame) -> Bool {
        switch frame.kind {
        case .answer, .failure:
            guard let continuation = state.withLock({ $0.waiting.removeValue(forKey: frame.number) }) else {
                return false
            }
            continuation.resume(with: WardenClient.result(of: frame))
        case .event:
            if let event = try? JSON(parsing: frame.payload) { onEvent(event) }  // a broken event tells nothing
            return false
        case .data:
            guard let stream = state.withLock({ $0.streams[frame.number] }) else { return false }
            stream.receive(frame.channel, frame.payload)
        case .credit:
            guard let stream = state.withLock({ $0.streams[frame.number] }) else { return false }
            stream.addCredit(Int(frame.creditCount ?? 0))
        case .request: return false
        }
        return true
    }

    private static func result(of frame: Frame) -> Result<JSON, any Error> {
        do {
            let answer = try JSON(parsing: frame.payload)
            if frame.kind == .answer { return .success(answer) }
            let code = answer["code"].string.flatMap(SkalaError.Code.init(rawValue:)) ?? .system
            return .failure(SkalaError(code, answer["message"].string ?? "the warden gave no reason"))
        } catch {
            return .failure(error)
        }
    }
}
