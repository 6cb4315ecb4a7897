import Base
import CLinux
import Glibc
import Kernel

/// A container's terminal that the command line serves itself, with the one it was called on.
final class RuntimeTerminal {
    private let master: OwnedDescriptor
    private var before = termios()
    private var isRaw = false
    private var readsInput = true
    private var ended = false

    private init(_ master: OwnedDescriptor) { self.master = master }

    /// Receives the terminal's master from the process. With a console socket it is handed on to who listens there.
    static func receive(_ socket: OwnedDescriptor, forwardTo path: String?) throws -> RuntimeTerminal? {
        var poller = pollfd(fd: socket.raw, events: Int16(POLLIN), revents: 0)
        guard poll(&poller, 1, 60_000) == 1 else { throw SkalaError(.timedOut, "no terminal from the container") }
        let result = cl_receive_descriptor(socket.raw)
        // No terminal: the report says why.
        guard result >= 0 else { return nil }
        let master = OwnedDescriptor(result)
        guard let path else { return RuntimeTerminal(master) }
        let console = try UnixSocket.connect(path)
        try check(cl_send_descriptor(console.raw, master.raw, "/dev/ptmx"), "sendmsg", path)
        return nil
    }

    /// Makes our own terminal pass every key on.
    func begin() throws(KernelError) {
        resize()
        guard isatty(0) == 1, tcgetattr(0, &before) == 0 else { return }
        var raw = before
        cfmakeraw(&raw)
        try checkErrno(tcsetattr(0, TCSANOW, &raw), "tcsetattr")
        isRaw = true
    }

    func end() {
        if isRaw { tcsetattr(0, TCSANOW, &before) }
    }

    func resize() {
        var size = winsize()
        if isatty(0) == 1, ioctl(0, UInt(TIOCGWINSZ), &size) == 0 { _ = cl_ioctl(master.raw, UInt(TIOCSWINSZ), &size) }
    }

    /// The master, then our input.
    var pollers: [pollfd] {
        [ended ? -1 : master.raw, readsInput ? 0 : -1].map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
    }

    func serve(_ polled: [pollfd]) {
        if polled[0].revents != 0, !copy(from: master.raw, to: 1) { ended = true }
        // The end of our input is none of the terminal's, which others may have open.
        if polled[1].revents != 0, !copy(from: 0, to: master.raw) { readsInput = false }
    }

    /// Copies what is left after the process ended.
    func drain() {
        var poller = pollfd(fd: master.raw, events: Int16(POLLIN), revents: 0)
        while !ended, poll(&poller, 1, 0) == 1, copy(from: master.raw, to: 1) {}
    }

    private func copy(from source: Int32, to target: Int32) -> Bool {
        var buffer = [UInt8](repeating: 0, count: 16384)
        let count = read(source, &buffer, buffer.count)
        if count < 0, errno == EINTR || errno == EAGAIN { return true }
        guard count > 0 else { return false }
        var at = 0
        while at < count {
            let written = buffer[at..<count].withUnsafeBytes { write(target, $0.baseAddress, $0.count) }
            if written < 0, errno == EINTR { continue }
            guard written > 0 else { return false }
            at += written
        }
        return true
    }
}
