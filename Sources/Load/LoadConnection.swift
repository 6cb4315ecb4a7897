import CLinux
import Glibc
import Kernel

/// One connection of a worker, and the request on it.
final class LoadConnection {
    enum State {
        case closed, connecting, handshaking, sending, receiving, idle
    }

    /// Which of the worker's connections this is.
    let slot: Int
    var state = State.closed
    var socket: Int32 = -1
    /// What the socket is to be watched for, and what epoll knows of that.
    var interest: EventLoop.Interest = []
    var watched: EventLoop.Interest = []
    var tls: TLSSession?
    var parser: ResponseParser
    /// The origin it leads to, and the request under way.
    var origin = 0
    var target = 0
    var sent = 0
    /// When the latency begins, and when the time is up, on the monotonic clock.
    var intended: Int64 = 0
    var deadline: Int64 = 0
    /// Answers that came on it.
    var answers = 0
    /// The request has been sent once already, on a connection that was closed.
    var isRepeated = false

    init(slot: Int, isHead: Bool) {
        self.slot = slot
        parser = ResponseParser(isHead: isHead)
    }

    /// What a step of the connection led to.
    enum Outcome {
        /// Nothing to do until the socket is ready again.
        case waits
        /// A whole answer; whether another request may follow on the connection.
        case answered(reusable: Bool)
        case failed(LoadFailure)
    }

    /// Whether TLS holds bytes that have been read from the socket already.
    var hasBufferedBytes: Bool { tls?.hasBufferedBytes ?? false }

    /// Closes the socket.
    func close() {
        tls = nil
        if socket >= 0 { Glibc.close(socket) }
        socket = -1
        state = .closed
        interest = []
        watched = []
        answers = 0
    }

    /// Sends the rest of the request.
    func send(_ request: [UInt8]) -> Outcome {
        while sent < request.count {
            let count: Int
            if let tls {
                switch request.withUnsafeBytes({ tls.write(UnsafeRawBufferPointer(rebasing: $0[sent...])) }) {
                case .moved(let moved): count = moved
                case .wantsRead: return wait(.readable)
                case .wantsWrite: return wait([.readable, .writable])
                case .failed: return .failed(.reset)
                }
            } else {
                count = request.withUnsafeBytes {
                    Glibc.send(socket, $0.baseAddress?.advanced(by: sent), $0.count - sent, Int32(MSG_NOSIGNAL))
                }
                if count < 0, errno == EINTR { continue }
                // An answer may come before the request is whole.
                if count < 0, errno == EAGAIN { return wait([.readable, .writable]) }
                if count < 0 { return .failed(LoadFailure(errno: errno)) }
            }
            sent += count
        }
        state = .receiving
        return wait(.readable)
    }

    /// Reads once, and takes what came as a part of the answer.
    func receive(_ buffer: UnsafeMutableRawBufferPointer, _ received: inout UInt64) -> Outcome {
        var count = 0
        if let tls {
            switch tls.read(buffer) {
            case .moved(let moved): count = moved
            case .wantsRead: return .waits
            case .wantsWrite: return wait([.readable, .writable])
            case .failed: return .failed(.reset)
            }
        } else {
            repeat { count = read(socket, buffer.baseAddress, buffer.count) } while count < 0 && errno == EINTR
            if count < 0 { return errno == EAGAIN ? .waits : .failed(LoadFailure(errno: errno)) }
        }
        received += UInt64(count)
        let progress =
            count == 0 ? parser.end() : parser.consume(UnsafeRawBufferPointer(rebasing: buffer.prefix(count)))
        switch progress {
        case .incomplete: return .waits
        // What nobody asked for makes the connection useless, not the answer wrong.
        case .complete(let consumed):
            return .answered(reusable: consumed == count && parser.keepsAlive && state == .receiving)
        case .failed(.closedEarly): return .failed(.closed)
        case .failed: return .failed(.malformed)
        }
    }

    private func wait(_ wanted: EventLoop.Interest) -> Outcome {
        interest = wanted
        return .waits
    }
}
