import Base
import Glibc
import Kernel

/// How long something may take, and whether the user still wants it.
struct Deadline {
    /// On the monotonic clock.
    let end: Int64
    private let isStopped: () -> Bool

    /// - Parameters:
    ///   - duration: nanoseconds from now.
    ///   - isStopped: asked several times a second.
    init(in duration: Int64, isStopped: @escaping () -> Bool) {
        end = SystemClock.monotonicNanoseconds() + duration
        self.isStopped = isStopped
    }

    private init(end: Int64, isStopped: @escaping () -> Bool) {
        self.end = end
        self.isStopped = isStopped
    }

    /// Another end of the same user's.
    func moved(to end: Int64) -> Deadline { Deadline(end: end, isStopped: isStopped) }

    var hasPassed: Bool { SystemClock.monotonicNanoseconds() >= end }

    /// - Throws: `.cancelled` when the user has stopped the run.
    func check() throws(SkalaError) { if isStopped() { throw SkalaError(.cancelled, "stopped") } }

    /// Lets time pass, up to the deadline at most.
    func pause(_ nanoseconds: Int64) throws(SkalaError) {
        let until = min(end, SystemClock.monotonicNanoseconds() + nanoseconds)
        while true {
            try check()
            let left = until - SystemClock.monotonicNanoseconds()
            guard left > 0 else { return }
            usleep(UInt32(min(left, 100_000_000) / 1000))
        }
    }

    /// Tries until it succeeds; false when the deadline passes before.
    func wait(every interval: Int64 = 5_000_000, _ isDone: () throws -> Bool) throws -> Bool {
        while true {
            if try isDone() { return true }
            if hasPassed { return false }
            try pause(interval)
        }
    }

    /// Hands on what comes on a descriptor, up to its end; false when the deadline passes before.
    func read(_ descriptor: Int32, _ body: ([UInt8]) -> Void) throws -> Bool {
        var buffer = [UInt8](repeating: 0, count: 64 * 1024)
        while true {
            try check()
            guard !hasPassed else { return false }
            let left = end - SystemClock.monotonicNanoseconds()
            var poller = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
            guard poll(&poller, 1, Int32(clamping: min(left / 1_000_000 + 1, 100))) > 0 else { continue }
            let count = Glibc.read(descriptor, &buffer, buffer.count)
            if count > 0 {
                body(Array(buffer[0..<count]))
            } else if count == 0 {
                return true
            } else if errno != EINTR {
                throw KernelError("read", "the program's output", errno: errno)
            }
        }
    }
}
