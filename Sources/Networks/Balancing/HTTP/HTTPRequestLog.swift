import Glibc
import Kernel
import Synchronization

/// What HAProxy tells as it happens, a datagram each: that a request has ended, and how long it took; that one is held
/// because there is no member. A datagram that finds the queue full is lost, and HAProxy waits for nobody.
///
///     service_x 0 1 12        waited, connected, answered after so many milliseconds; -1 when it did not get so far
///     hold service_x
final class HTTPRequestLog: Sendable {
    private struct State {
        var latencies: [String: HTTPLatencies] = [:]
        /// Of the socket that is open now: a reader of an earlier one ends.
        var generation = 0
        var socket: OwnedDescriptor?
    }

    private let state = Mutex(State())
    private let onHold: @Sendable (String) -> Void
    private let threads = WorkerThreads(limit: 2)

    /// - Parameter onHold: called with the backend's name, from a thread.
    init(onHold: @escaping @Sendable (String) -> Void) { self.onHold = onHold }

    /// Listens at a path, in the place of whoever did; no more than once.
    ///
    /// - Parameter user: who writes to it.
    func open(_ path: String, user: (uid: UInt32, gid: UInt32)) throws(KernelError) {
        guard state.withLock({ $0.socket == nil }) else { return }
        unlink(path)
        let socket = OwnedDescriptor(
            try checkErrno(
                Glibc.socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue), 0), "socket", path))
        var address = try UnixSocket.address(path)
        let length = socklen_t(MemoryLayout<sockaddr_un>.size)
        let status = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(socket.raw, $0, length) }
        }
        try checkErrno(status, "bind", path)
        try checkErrno(chown(path, user.uid, user.gid), "chown", path)
        try checkErrno(chmod(path, 0o600), "chmod", path)
        let generation = state.withLock { state in
            state.socket = socket
            state.generation += 1
            return state.generation
        }
        threads.submit { [weak self] in
            var buffer = [UInt8](repeating: 0, count: 1024)
            while true {
                let count = recv(socket.raw, &buffer, buffer.count, 0)
                if count < 0, errno == EINTR { continue }
                guard let self, count >= 0, self.state.withLock({ $0.generation == generation }) else { return }
                self.take(buffer[..<count])
            }
        }
    }

    func close() {
        state.withLock { state in
            state.generation += 1
            // Wakes the reader, which closes it.
            if let socket = state.socket { shutdown(socket.raw, Int32(SHUT_RD)) }
            state.socket = nil
            state.latencies = [:]
        }
    }

    func forget(_ backend: String) { state.withLock { _ = $0.latencies.removeValue(forKey: backend) } }

    /// Milliseconds of the requests that have ended of late; nil when there was none.
    func quantiles(of backend: String) -> (p50: Int, p95: Int, p99: Int)? {
        let latencies = state.withLock { $0.latencies[backend] }
        return latencies?.quantiles(at: SystemClock.monotonicNanoseconds())
    }

    private func take(_ bytes: ArraySlice<UInt8>) {
        let words = bytes.split { $0 == 0x20 || $0 == 0x0A }
        if words.count == 2, words[0].elementsEqual("hold".utf8) {
            return onHold(String(decoding: words[1], as: UTF8.self))
        }
        guard words.count == 4 else { return }
        var sum: UInt32 = 0
        for word in words[1...] {
            // -1: it did not get an answer.
            guard let part = UInt32(String(decoding: word, as: UTF8.self)) else { return }
            sum &+= part
        }
        let name = String(decoding: words[0], as: UTF8.self)
        // Those of a frontend by itself are none of a service.
        guard name.hasPrefix(HTTPConfiguration.backendPrefix) else { return }
        let now = SystemClock.monotonicNanoseconds()
        state.withLock { $0.latencies[name, default: HTTPLatencies()].add(sum, at: now) }
    }

    deinit { close() }
}
