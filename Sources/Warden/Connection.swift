import Base
import Glibc
import Kernel
import WardenProtocol

/// The engine's connection: frames in, frames out, without ever blocking.
final class Connection {
    /// What carries the frames.
    enum Carrier {
        /// A socket: its end is the connection's.
        case socket
        /// A port of the VM: the engine comes and goes, the port stays.
        case port
    }

    /// Answers and events an engine leaves unread; then the connection ends.
    private static let maximumUnsent = 64 << 20

    private let loop: EventLoop
    private let file: OwnedDescriptor
    private let carrier: Carrier
    private var decoder = FrameDecoder()
    private var unsent: [UInt8] = []
    private var waitsToWrite = false
    private var engineIsThere = false
    private(set) var isOpen = true
    private let onFrame: (Connection, Frame) -> Void
    private let onClose: (Connection) -> Void

    /// - Parameter file: non-blocking.
    init(
        loop: EventLoop, file: OwnedDescriptor, carrier: Carrier, onFrame: @escaping (Connection, Frame) -> Void,
        onClose: @escaping (Connection) -> Void
    ) throws(KernelError) {
        self.loop = loop
        self.file = file
        self.carrier = carrier
        self.onFrame = onFrame
        self.onClose = onClose
        let interest: EventLoop.Interest = carrier == .port ? [.readable, .writable, .changes] : .readable
        try loop.watch(file.raw, interest) { [unowned self] interest in ready(interest) }
    }

    private func ready(_ interest: EventLoop.Interest) {
        if carrier == .port { noteEngine(isThere: !interest.contains(.hungUp)) }
        if interest.contains(.writable) { flush() }
        guard isOpen, !interest.isDisjoint(with: [.readable, .hungUp, .failed]) else { return }
        // A change is told once, so that all there is has to be read.
        while receive(), carrier == .port {}
    }

    /// The next engine's first bytes may come before the port says that somebody is there: what they ask for is
    /// answered when it does.
    private func noteEngine(isThere: Bool) {
        if !isThere, engineIsThere { close() }
        engineIsThere = isThere
    }

    /// Whether there may be more to read.
    private func receive() -> Bool {
        let count = withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 256 << 10) { buffer in
            let count = read(file.raw, buffer.baseAddress, buffer.count)
            if count > 0 { decoder.append(UnsafeBufferPointer(rebasing: buffer[..<count])) }
            return count
        }
        if count < 0, errno == EINTR { return true }
        if count < 0, errno == EAGAIN { return false }
        guard count > 0 else {
            if carrier == .socket { close() }
            return false
        }
        do {
            while isOpen, let frame = try decoder.next() { onFrame(self, frame) }
        } catch {
            close()
        }
        return isOpen
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
            let count = unsent[sent...].withUnsafeBytes { write(file.raw, $0.baseAddress, $0.count) }
            if count < 0, errno == EINTR { continue }
            if count < 0, errno == EAGAIN { break }
            guard count > 0 else { return close() }
            sent += count
        }
        unsent.removeFirst(sent)
        let waits = !unsent.isEmpty
        if waits != waitsToWrite {
            waitsToWrite = waits
            if carrier == .socket { loop.change(file.raw, to: waits ? [.readable, .writable] : .readable) }
        }
    }

    /// Ends the connection; a port is then ready for the next engine.
    func close() {
        guard isOpen else { return }
        unsent = []
        decoder = FrameDecoder()
        waitsToWrite = false
        if carrier == .socket {
            isOpen = false
            loop.forget(file.raw)
            file.close()
        }
        onClose(self)
    }
}
