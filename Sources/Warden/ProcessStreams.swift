import CLinux
import Glibc
import Kernel
import WardenProtocol

/// The warden's end of a process's standard streams: reads output into the log and to attached clients, writes input.
final class ProcessStreams {
    private static let chunk = 64 << 10
    private let loop: EventLoop
    let log: OutputLog?
    private var outputs: [(channel: UInt8, file: OwnedDescriptor, watched: Bool)] = []
    private var input: OwnedDescriptor?
    private var inputBuffer: [UInt8] = []
    private var inputWatched = false
    private var inputEnds = false
    private let isTerminal: Bool
    private(set) var attachments: [Attachment] = []
    private var finished = false
    /// Grants input credit to the client of a stream.
    var grantInput: ((UInt32, Int) -> Void)?

    init(loop: EventLoop, log: OutputLog?, terminal: Bool) {
        self.loop = loop
        self.log = log
        isTerminal = terminal
    }

    deinit { close() }

    func setInput(_ file: OwnedDescriptor) { input = file }

    func addOutput(_ channel: UInt8, _ file: OwnedDescriptor) throws(KernelError) {
        outputs.append((channel, file, false))
        try watch(outputs.count - 1)
    }

    var terminalMaster: Int32? { isTerminal ? outputs.first?.file.raw : nil }

    private func watch(_ index: Int) throws(KernelError) {
        outputs[index].watched = true
        let descriptor = outputs[index].file.raw
        try loop.watch(descriptor, .readable) { [unowned self] _ in read(descriptor, all: false) }
    }

    /// Reads what is there; once, or to the end of what the pipe holds.
    private func read(_ descriptor: Int32, all: Bool) {
        guard let channel = outputs.first(where: { $0.file.raw == descriptor })?.channel else { return }
        var more = true
        while more {
            let count = withUnsafeTemporaryAllocation(of: UInt8.self, capacity: ProcessStreams.chunk) { buffer in
                let count = Glibc.read(descriptor, buffer.baseAddress, buffer.count)
                if count > 0 { deliver(UnsafeBufferPointer(rebasing: buffer[..<count]), channel) }
                return count
            }
            if count < 0, errno == EAGAIN { break }
            if count < 0, errno == EINTR { continue }
            // A terminal whose last user is gone reads EIO.
            if count <= 0 { return closeOutput(descriptor) }
            more = all
        }
        if attachments.contains(where: \.isFull) { pause() }
    }

    private func deliver(_ bytes: UnsafeBufferPointer<UInt8>, _ channel: UInt8) {
        log?.append(bytes, channel: channel)
        for attachment in attachments { attachment.deliver(bytes, channel: channel) }
    }

    private func closeOutput(_ descriptor: Int32) {
        loop.forget(descriptor)
        outputs.removeAll { $0.file.raw == descriptor }
        if isTerminal, let input {
            if inputWatched { loop.forget(input.raw) }
            self.input = nil
        }
    }

    /// A client does not take its output: the process is held back by its full pipe.
    private func pause() {
        for index in outputs.indices where outputs[index].watched {
            loop.forget(outputs[index].file.raw)
            outputs[index].watched = false
        }
    }

    private func resume() {
        guard !attachments.contains(where: \.isFull) else { return }
        for index in outputs.indices where !outputs[index].watched {
            // Out of memory for epoll: the next change tries again.
            try? watch(index)
        }
    }

    func attach(_ attachment: Attachment) {
        attachments.append(attachment)
        if finished { attachment.finish() }
    }

    /// Ends a client's part. `closesInput`: the client's end of input was the process's.
    func detach(_ stream: UInt32, closesInput: Bool) {
        guard let index = attachments.firstIndex(where: { $0.stream == stream }) else { return }
        let attachment = attachments.remove(at: index)
        if closesInput, attachment.wantsInput { endInput() }
        resume()
    }

    func grantOutput(_ stream: UInt32, _ count: Int) {
        attachments.first { $0.stream == stream }?.grant(count)
        resume()
    }

    /// Takes a client's input; false when it sent more than it was granted.
    func receive(_ bytes: [UInt8], from attachment: Attachment) -> Bool {
        guard bytes.count <= attachment.inputCredit else { return false }
        guard input != nil, !inputEnds else {
            grantInput?(attachment.stream, bytes.count)
            return true
        }
        attachment.inputCredit -= bytes.count
        inputBuffer.append(contentsOf: bytes)
        writeInput()
        return true
    }

    func endInput() {
        // A terminal has no end of file (its client sends ^D), and outlives who was typing: another may attach.
        guard !isTerminal else { return }
        inputEnds = true
        writeInput()
    }

    private func writeInput() {
        guard let input else { return }
        var written = 0
        while written < inputBuffer.count {
            let count = inputBuffer[written...].withUnsafeBytes { Glibc.write(input.raw, $0.baseAddress, $0.count) }
            if count < 0, errno == EINTR { continue }
            if count < 0, errno == EAGAIN { break }
            if count < 0 {
                // Nobody reads it any more.
                written = inputBuffer.count
                inputEnds = true
                break
            }
            written += count
        }
        inputBuffer.removeFirst(written)
        returnCredit(written)
        let blocked = !inputBuffer.isEmpty
        if blocked, !inputWatched, !isTerminal {
            inputWatched = (try? loop.watch(input.raw, .writable) { [unowned self] _ in writeInput() }) != nil
        } else if blocked, isTerminal {
            // The master is watched for reading already; try again shortly.
            loop.after(milliseconds: 5) { [weak self] in self?.writeInput() }
        } else if !blocked, inputWatched {
            loop.forget(input.raw)
            inputWatched = false
        }
        if !blocked, inputEnds, !isTerminal { self.input = nil }
    }

    private func returnCredit(_ count: Int) {
        var left = count
        for attachment in attachments where left > 0 && attachment.wantsInput {
            let back = min(left, Attachment.initialCredit - attachment.inputCredit)
            guard back > 0 else { continue }
            attachment.inputCredit += back
            left -= back
            grantInput?(attachment.stream, back)
        }
    }

    /// The process has ended: takes what its pipes still hold, however slow the clients are (a pipe holds 64 KiB), and
    /// completes the log.
    func finish() {
        guard !finished else { return }
        for output in outputs { read(output.file.raw, all: true) }
        log?.finish()
        finished = true
        for attachment in attachments { attachment.finish() }
    }

    func close() {
        for output in outputs where output.watched { loop.forget(output.file.raw) }
        outputs = []
        if inputWatched, let input { loop.forget(input.raw) }
        inputWatched = false
        input = nil
    }
}
