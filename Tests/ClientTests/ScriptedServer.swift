import Base
import Glibc
import Kernel

/// A server that answers what a test tells it, one step after the other, on a thread of its own.
final class ScriptedServer: Sendable {
    enum Step: Sendable {
        /// Takes the next connection, after closing the one before.
        case accept
        /// Reads until this text has come.
        case expect(String)
        case send(String)
        /// Reads until the client ends its side.
        case expectEnd
        case close
    }

    let path: String
    private let outcome: Outcome

    init(_ steps: [Step]) throws {
        path = "/tmp/skala-client-test-\(getpid())-\(Identifier.short(Identifier.make())).sock"
        var address = try UnixSocket.address(path)
        let listener = OwnedDescriptor(
            try checkErrno(socket(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0), "socket"))
        let status = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(listener.raw, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        try checkErrno(status, "bind", path)
        try checkErrno(listen(listener.raw, 8), "listen", path)
        // A test that goes wrong must end: no wait of the server is longer.
        var limit = timeval(tv_sec: 5, tv_usec: 0)
        setsockopt(listener.raw, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        outcome = Outcome(listener: listener, steps: steps)
        let outcome = Unmanaged.passRetained(outcome).toOpaque()
        var thread = pthread_t()
        let failure = pthread_create(
            &thread, nil,
            { context in
                if let context { Unmanaged<Outcome>.fromOpaque(context).takeRetainedValue().run() }
                return nil
            }, outcome)
        guard failure == 0 else { throw KernelError("pthread_create", "", errno: failure) }
        self.outcome.thread = thread
    }

    /// Waits for the script's end; what went wrong, or nil.
    func finish() -> String? {
        pthread_join(outcome.thread, nil)
        unlink(path)
        return outcome.failure
    }

    // @unchecked: the thread alone touches it until `pthread_join`, afterwards the test alone.
    private final class Outcome: @unchecked Sendable {
        let listener: OwnedDescriptor
        let steps: [Step]
        var thread = pthread_t()
        var failure: String?
        var connection: OwnedDescriptor?
        var received: [UInt8] = []

        init(listener: OwnedDescriptor, steps: [Step]) {
            self.listener = listener
            self.steps = steps
        }

        func run() {
            for step in steps where failure == nil { carryOut(step) }
            connection?.close()
        }

        private func carryOut(_ step: Step) {
            switch step {
            case .accept:
                connection?.close()
                received = []
                let descriptor = accept(listener.raw, nil, nil)
                guard descriptor >= 0 else { return failure = "nobody connected" }
                var limit = timeval(tv_sec: 5, tv_usec: 0)
                setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
                connection = OwnedDescriptor(descriptor)
            case .expect(let text):
                let bytes = Array(text.utf8)
                while received.count < bytes.count {
                    guard receive() else { return failure = "expected '\(text)', got '\(receivedText)'" }
                }
                guard received.starts(with: bytes) else {
                    return failure = "expected '\(text)', got '\(receivedText)'"
                }
                received.removeFirst(bytes.count)
            case .send(let text):
                if !UnixSocket.writeAll(connection?.raw ?? -1, Array(text.utf8)) { failure = "the client has gone" }
            case .expectEnd:
                while receive() {}
                if !received.isEmpty { failure = "unexpected '\(receivedText)'" }
            case .close: connection?.close()
            }
        }

        private var receivedText: String { String(decoding: received, as: UTF8.self) }

        private func receive() -> Bool {
            var buffer = [UInt8](repeating: 0, count: 4096)
            let count = recv(connection?.raw ?? -1, &buffer, buffer.count, 0)
            guard count > 0 else { return false }
            received += buffer[0..<count]
            return true
        }
    }
}
