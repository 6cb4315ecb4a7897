import CLinux
import Glibc
import CSeccomp

/// Waits for descriptors and deadlines on one thread (epoll, level-triggered unless asked otherwise).
///
/// Not `Sendable`: everything happens on the thread that calls `run`.
public final class EventLoop {
    public struct Interest: OptionSet, Sendable {
        public let rawValue: UInt32
        public init(rawValue: UInt32) { self.rawValue = rawValue }
        public static let readable = Interest(rawValue: 0x001)
        public static let writable = Interest(rawValue: 0x004)
        /// Reported always: an error, or the other end is gone.
        public static let failed = Interest(rawValue: 0x008)
        public static let hungUp = Interest(rawValue: 0x010)
        /// Changes are reported once: for a descriptor that stays hung up, such as a port nobody listens to.
        public static let changes = Interest(rawValue: 1 << 31)
    }

    public typealias Timer = UInt64
    private struct Watch {
        var generation: UInt32
        var handler: (Interest) -> Void
    }

    private let epoll: OwnedDescriptor
    private var watches: [Int32: Watch] = [:]
    private var generation: UInt32 = 0
    private var timers: [(deadline: Int64, timer: Timer, action: () -> Void)] = []
    private var nextTimer: Timer = 1
    private var stopped = false

    public init() throws(KernelError) {
        epoll = OwnedDescriptor(try checkErrno(epoll_create1(Int32(O_CLOEXEC)), "epoll_create1"))
    }

    /// Calls `handler` whenever `descriptor` is ready; the descriptor stays the caller's.
    public func watch(
        _ descriptor: Int32, _ interest: Interest, _ handler: @escaping (Interest) -> Void
    ) throws(KernelError) {
        generation &+= 1
        var event = epoll_event(events: interest.rawValue, data: token(descriptor, generation))
        try checkErrno(epoll_ctl(epoll.raw, EPOLL_CTL_ADD, descriptor, &event), "epoll_ctl add", "\(descriptor)")
        watches[descriptor] = Watch(generation: generation, handler: handler)
    }

    /// Changes what a watched descriptor is watched for; an empty set waits for failures only.
    public func change(_ descriptor: Int32, to interest: Interest) {
        guard let watch = watches[descriptor] else { return }
        var event = epoll_event(events: interest.rawValue, data: token(descriptor, watch.generation))
        _ = epoll_ctl(epoll.raw, EPOLL_CTL_MOD, descriptor, &event)
    }

    /// Ends watching; to be called before the descriptor is closed.
    public func forget(_ descriptor: Int32) {
        guard watches.removeValue(forKey: descriptor) != nil else { return }
        var event = epoll_event()
        _ = epoll_ctl(epoll.raw, EPOLL_CTL_DEL, descriptor, &event)
    }

    /// Calls `action` once after `milliseconds`, unless cancelled.
    @discardableResult
    public func after(milliseconds: Int64, _ action: @escaping () -> Void) -> Timer {
        defer { nextTimer += 1 }
        timers.append((SystemClock.monotonicNanoseconds() + milliseconds * 1_000_000, nextTimer, action))
        return nextTimer
    }

    public func cancel(_ timer: Timer) { timers.removeAll { $0.timer == timer } }

    /// Makes `run` return.
    public func stop() { stopped = true }

    /// Handles events until `stop`.
    public func run() throws(KernelError) {
        stopped = false
        while !stopped { try turn(limitMilliseconds: nil) }
    }

    /// Waits once, at most `limitMilliseconds`, and handles what happened.
    public func turn(limitMilliseconds: Int32?) throws(KernelError) {
        var wait: Int32 = limitMilliseconds ?? -1
        if let first = timers.map(\.deadline).min() {
            let left = max(0, (first - SystemClock.monotonicNanoseconds() + 999_999) / 1_000_000)
            wait = wait < 0 ? Int32(clamping: left) : min(wait, Int32(clamping: left))
        }
        let ready = try withUnsafeTemporaryAllocation(of: epoll_event.self, capacity: 64) {
            (events) throws(KernelError) -> [(UInt64, UInt32)] in
            guard let base = events.baseAddress else { return [] }
            let count = epoll_wait(epoll.raw, base, Int32(events.count), wait)
            if count < 0, errno == EINTR { return [] }
            try checkErrno(count, "epoll_wait")
            return (0..<Int(count)).map { (base[$0].data.u64, base[$0].events) }
        }
        for (token, events) in ready {
            let descriptor = Int32(truncatingIfNeeded: token & 0xFFFF_FFFF)
            // A handler before may have closed the descriptor, and another may have been opened with its number.
            guard let watch = watches[descriptor], UInt64(watch.generation) == token >> 32 else { continue }
            watch.handler(Interest(rawValue: events))
        }
        fireTimers()
    }

    private func fireTimers() {
        guard !timers.isEmpty else { return }
        let now = SystemClock.monotonicNanoseconds()
        let due = timers.filter { $0.deadline <= now }
        guard !due.isEmpty else { return }
        timers.removeAll { $0.deadline <= now }
        for timer in due.sorted(by: { $0.deadline < $1.deadline }) { timer.action() }
    }

    private func token(_ descriptor: Int32, _ generation: UInt32) -> epoll_data_t {
        epoll_data_t(u64: UInt64(generation) << 32 | UInt64(UInt32(bitPattern: descriptor)))
    }
}
