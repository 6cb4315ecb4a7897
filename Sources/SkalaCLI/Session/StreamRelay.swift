import Base
import Client
import Glibc
import Kernel

/// Carries bytes between this program's standard streams and a container's, over one hijacked connection.
///
/// One loop over poll(2): what cannot be written yet waits, and nothing more is read for it, so that a slow reader slows
/// the container and signals are heard all the while.
struct StreamRelay {
    enum End {
        /// The container's output has ended.
        case output
        /// The detach keys were typed.
        case detached
    }

    let stream: HijackedStream
    /// The container has a terminal: its output comes raw, not in frames.
    let isRaw: Bool
    /// Where the container's input is read from; nil when it gets none.
    let input: Int32?
    var detachKeys: DetachKeys?
    var signals: SignalQueue?
    var onSignal: (Int32) throws -> Void = { _ in }

    /// As much as a pipe that polls writable takes without blocking (PIPE_BUF).
    private static let slice = 4096

    init(
        stream: HijackedStream, isRaw: Bool, input: Int32?, detachKeys: DetachKeys? = nil, signals: SignalQueue? = nil,
        onSignal: @escaping (Int32) throws -> Void = { _ in }
    ) {
        self.stream = stream
        self.isRaw = isRaw
        self.input = input
        self.detachKeys = detachKeys
        self.signals = signals
        self.onSignal = onSignal
    }

    func run() throws -> End {
        var state = State(keys: detachKeys, readsInput: input != nil, isRaw: isRaw)
        state.receive(stream.earlyBytes)
        var buffer = [UInt8](repeating: 0, count: 64 * 1024)
        if input == nil { stream.endInput() }
        while true {
            if state.outputHasEnded, state.output.isEmpty { return .output }
            var set = [
                pollfd(fd: state.output.isEmpty && !state.outputHasEnded ? stream.descriptor.raw : -1, POLLIN),
                pollfd(fd: state.toSend.isEmpty ? -1 : stream.descriptor.raw, POLLOUT),
                pollfd(fd: state.readsInput && state.toSend.isEmpty ? input ?? -1 : -1, POLLIN),
                pollfd(fd: signals?.descriptor ?? -1, POLLIN),
                pollfd(fd: state.output.first?.descriptor ?? -1, POLLOUT),
            ]
            guard poll(&set, nfds_t(set.count), -1) > 0 else { continue }
            if set[3].revents != 0 { while let signal = signals?.next() { try onSignal(signal) } }
            if set[4].revents != 0 { try state.writeOutput() }
            if set[0].revents != 0 {
                let count = recv(stream.descriptor.raw, &buffer, buffer.count, Int32(MSG_DONTWAIT))
                if count > 0 { state.receive(Array(buffer[0..<count])) }
                if count == 0 || (count < 0 && errno != EAGAIN && errno != EINTR) { state.outputHasEnded = true }
            }
            if set[1].revents != 0 { sendInput(&state) }
            if set[2].revents != 0 {
                let count = read(input ?? -1, &buffer, StreamRelay.slice)
                if count < 0, errno == EINTR || errno == EAGAIN { continue }
                if state.typed(buffer[0..<max(0, count)]) { return .detached }
                if count <= 0, state.toSend.isEmpty { stream.endInput() }
            }
        }
    }

    private func sendInput(_ state: inout State) {
        let count = state.toSend.withUnsafeBytes {
            send(stream.descriptor.raw, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL | MSG_DONTWAIT))
        }
        if count > 0 { state.toSend.removeFirst(count) }
        // The container reads no more; its output is still wanted.
        if count < 0, errno != EAGAIN, errno != EINTR {
            state.toSend = []
            state.readsInput = false
        }
        if state.toSend.isEmpty, !state.readsInput { stream.endInput() }
    }

    private struct State {
        var keys: DetachKeys?
        var readsInput: Bool
        let isRaw: Bool
        var demultiplexer = StreamDemultiplexer()
        /// What waits for our standard output and error.
        var output: [(descriptor: Int32, bytes: ArraySlice<UInt8>)] = []
        var outputHasEnded = false
        /// What waits for the container.
        var toSend: [UInt8] = []

        init(keys: DetachKeys?, readsInput: Bool, isRaw: Bool) {
            self.keys = keys
            self.readsInput = readsInput
            self.isRaw = isRaw
        }

        mutating func receive(_ bytes: [UInt8]) {
            guard !bytes.isEmpty else { return }
            if isRaw { return output.append((1, bytes[...])) }
            for piece in demultiplexer.take(bytes) { output.append((piece.channel == .error ? 2 : 1, piece.bytes)) }
        }

        mutating func writeOutput() throws {
            guard let first = output.first else { return }
            let count = first.bytes.prefix(StreamRelay.slice).withUnsafeBytes {
                write(first.descriptor, $0.baseAddress, $0.count)
            }
            if count < 0 {
                if errno == EINTR || errno == EAGAIN { return }
                // Our reader has gone: what the container says goes nowhere, but its end is still awaited.
                output.removeFirst()
                return
            }
            output[0].bytes = first.bytes.dropFirst(count)
            if output[0].bytes.isEmpty { output.removeFirst() }
        }

        /// Takes what was read of the input (nothing: its end); true when the detach keys were among it.
        mutating func typed(_ bytes: ArraySlice<UInt8>) -> Bool {
            if bytes.isEmpty { readsInput = false }
            guard var keys else {
                toSend += bytes
                return false
            }
            let (passed, isDetached) = keys.take(Array(bytes))
            self.keys = keys
            toSend += passed
            return isDetached
        }
    }
}

extension pollfd {
    init(fd: Int32, _ events: Int32) { self.init(fd: fd, events: Int16(events), revents: 0) }
}
