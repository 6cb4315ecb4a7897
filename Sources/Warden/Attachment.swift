import WardenProtocol

/// A client's end of a process's streams: what is sent to it and has not been taken yet.
final class Attachment {
    /// Each side may send this much before the other grants more.
    static let initialCredit = 256 << 10
    /// With more than this waiting, the process's output is no longer read.
    static let maximumPending = 1 << 20

    let stream: UInt32
    let wantsInput: Bool
    private let channels: Set<UInt8>
    private let send: (Frame) -> Void
    private var credit = Attachment.initialCredit
    private var pending: [(channel: UInt8, bytes: [UInt8])] = []
    private var head = 0
    private var ends = false
    private(set) var pendingCount = 0
    /// Input the client may still send.
    var inputCredit = Attachment.initialCredit

    init(stream: UInt32, input: Bool, output: Bool, errors: Bool, send: @escaping (Frame) -> Void) {
        self.stream = stream
        wantsInput = input
        channels = Set((output ? [1] : []) + (errors ? [2] : []))
        self.send = send
    }

    var isFull: Bool { pendingCount > Attachment.maximumPending }

    func deliver(_ bytes: UnsafeBufferPointer<UInt8>, channel: UInt8) {
        guard channels.contains(channel), !ends else { return }
        pending.append((channel, Array(bytes)))
        pendingCount += bytes.count
        flush()
    }

    func grant(_ count: Int) {
        credit = min(credit + count, 1 << 30)
        flush()
    }

    /// No more output comes: both channels end when all is delivered.
    func finish() {
        guard !ends else { return }
        ends = true
        flush()
    }

    private func flush() {
        while credit > 0, head < pending.count {
            let limit = min(credit, Frame.Kind.data.maximumLength)
            let (channel, bytes) = pending[head]
            let part = Array(bytes.prefix(limit))
            if part.count == bytes.count {
                head += 1
            } else {
                pending[head].bytes.removeFirst(part.count)
            }
            credit -= part.count
            pendingCount -= part.count
            send(Frame(.data, number: stream, channel: channel, payload: part))
        }
        if head == pending.count {
            pending.removeAll(keepingCapacity: true)
            head = 0
            if ends, !ended {
                ended = true
                for channel: UInt8 in [1, 2] { send(Frame(.data, number: stream, channel: channel)) }
            }
        } else if head > 256 {
            pending.removeFirst(head)
            head = 0
        }
    }

    private(set) var ended = false
}
