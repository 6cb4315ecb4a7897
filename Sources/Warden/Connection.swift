import Base
import Glibc
import Kernel
import WardenProtocol

/// The engine's connection: frames in, frames out, without ever blocking.
final class Connection {
    /// Answers and events an engine leaves unread; then the connection ends.
    private static let maximumUnsent = 64 << 20

    private let loop: EventLoop
    private let socket: OwnedDescriptor
    private var decoder = FrameDecoder()
    private var unsent: [UInt8] = []
    private var waitsToWrite = false
    private(set) var isOpen = true
    private let onFrame: (Connection, Frame) -> Void
    private let onClose: (Connection) -> Void

    init(
        loop: EventLoop, socket: OwnedDescriptor, onFrame: @escaping (Connection, Frame) -> Void,
        onClose: @escaping (Connection) -> Void
    ) throws(KernelError) {
        self.loop = loop
        self.socket = socket
        self.onFrame = onFrame
        self.onClose = onClose
        try loop.watch(socket.raw, .readable) { [unowned self] interest in ready(interest) }
    }

    private func ready(_ interest: EventLoop.Interest) {
        if interest.contains(.writable) { flush() }
        if isOpen, !interest.isDisjoint(with: [.readable, .hungUp, .failed]) { receive() }
    }

    private func receive() {
        let count = withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 256 << 10) { buffer in
            let count = recv(socket.raw, buffer.baseAddress, buffer.count, Int32(MSG_DONTWAIT))
            if count > 0 { decoder.append(UnsafeBufferPointer(rebasing: buffer[..<count])) }
            return count
        }
        if count < 0, errno == EAGAIN || errno == EINTR { return }
        guard count > 0 else { return close() }
        do {
            while isOpen, let frame = try decoder.next() { onFrame(self, frame) }
        } catch {
            close()
        }
    }

    func send(_ frame: Frame) {
        guard isOpen else { return }
        frame.write(to: &unsent)
        guard unsent.count <= Connection.maximumUnsent else { return close() }
        if !waitsToWrite { flush() }
    }

    private func flush() {
        var sent = 0
        while sent < unsent.count {
            let count = unsent[sent...].withUnsafeBytes {
                Glibc.send(socket.raw, $0.baseAddress, $0.count, Int32(MSG_DONTWAIT | MSG_NOSIGNAL))
            }
            if count < 0, errno == EINTR { continue }
            if count < 0, errno == EAGAIN { break }
            guard count > 0 else { return close() }
            sent += count
        }
        unsent.removeFirst(sent)
        let waits = !unsent.isEmpty
        if waits != waitsToWrite {
            waitsToWrite = waits
            loop.change(socket.raw, to: waits ? [.readable, .writable] : .readable)
        }
    }

    func close() {
        guard isOpen else { return }
        isOpen = false
        loop.forget(socket.raw)
        socket.close()
        unsent = []
        onClose(self)
    }
}
