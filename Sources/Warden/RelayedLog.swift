import Base
import CLinux
import Glibc
import Kernel

/// The log that a VM's warden writes for one of its containers: it comes through QEMU and a pipe, and is kept here, where
/// the guest cannot reach it. The guest is not trusted: what is not an entry of a log is left out, and the file is rotated.
///
/// A full disk or a slow one holds QEMU back, and through it the guest's warden: the pipe fills up.
final class RelayedLog {
    private static let chunk = 64 << 10
    /// How often the pipe is looked at when there is no time for more: what is left then is lost with the VM.
    private static let lastReads = 64

    private let loop: EventLoop
    private let file: RotatedFile
    private var source: OwnedDescriptor?
    /// The line that says the container's output is complete.
    private let end: [UInt8]
    private var partial: [UInt8] = []
    /// In the middle of a line that is too long.
    private var isSkipping = false
    private var isComplete = false
    /// Nothing comes any more, and what came is kept.
    var isOver: Bool { source == nil && isComplete }
    private var waiting: [() -> Void] = []

    /// - Parameters:
    ///   - fifo: whose other end QEMU gets.
    ///   - log: `io.log` of the protocol.
    ///   - name: of the container, which its last line repeats.
    init(loop: EventLoop, fifo: String, log: JSON, name: String) throws {
        self.loop = loop
        file = try RotatedFile(log)
        end = Array(RelayedLog.endLine(name).utf8)
        let source = try OwnedDescriptor.open(fifo, O_RDONLY | O_NONBLOCK | CL_O_NOFOLLOW)
        self.source = source
        try loop.watch(source.raw, .readable) { [unowned self] _ in read(times: 1) }
    }

    deinit { close() }

    /// The last line of a container's log on its way to the host.
    static func endLine(_ name: String) -> String { "{\"end\":\"\(name)\"}\n" }

    /// Calls `body` when the container's output is complete, or after so many milliseconds.
    func whenComplete(within milliseconds: Int64, _ body: @escaping () -> Void) {
        read(times: 1)
        guard !isComplete else { return body() }
        var isDone = false
        let once = {
            if !isDone { body() }
            isDone = true
        }
        waiting.append(once)
        loop.after(milliseconds: milliseconds, once)
    }

    /// The VM has ended: takes what the pipe still holds.
    func finish() {
        read(times: RelayedLog.lastReads)
        close()
    }

    private func close() {
        if let source { loop.forget(source.raw) }
        source = nil
        complete()
    }

    private func complete() {
        isComplete = true
        let due = waiting
        waiting = []
        for body in due { body() }
    }

    private func read(times: Int) {
        for _ in 0..<times {
            guard let source else { return }
            let count = withUnsafeTemporaryAllocation(of: UInt8.self, capacity: RelayedLog.chunk) { buffer in
                let count = Glibc.read(source.raw, buffer.baseAddress, buffer.count)
                if count > 0 { take(UnsafeBufferPointer(rebasing: buffer[..<count])) }
                return count
            }
            if count < 0, errno == EAGAIN || errno == EINTR { return }
            // QEMU has let go of its end.
            if count <= 0 { return close() }
        }
    }

    private func take(_ bytes: UnsafeBufferPointer<UInt8>) {
        var rest = bytes
        while let start = rest.baseAddress, !rest.isEmpty {
            guard let newline = memchr(start, 0x0A, rest.count) else {
                if !isSkipping { partial.append(contentsOf: rest) }
                if partial.count > LogEntries.longestEntry { (partial, isSkipping) = ([], true) }
                return
            }
            let length = UnsafeRawPointer(newline) - UnsafeRawPointer(start) + 1
            let line = UnsafeBufferPointer(rebasing: rest[..<length])
            rest = UnsafeBufferPointer(rebasing: rest[length...])
            if isSkipping {
                isSkipping = false
            } else if partial.isEmpty {
                takeLine(line)
            } else {
                partial.append(contentsOf: line)
                partial.withUnsafeBufferPointer(takeLine)
                partial.removeAll(keepingCapacity: true)
            }
        }
    }

    private func takeLine(_ line: UnsafeBufferPointer<UInt8>) {
        if line.elementsEqual(end) { return complete() }
        if LogEntries.isEntry(line) { file.append(line) }
    }
}
