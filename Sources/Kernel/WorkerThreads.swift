import CLinux
import Glibc
import Synchronization
import CSeccomp

/// Threads for calls that block (files, SQLite, curl, netlink): the concurrency pool has as many threads as cores, so
/// nothing may block there.
///
/// Threads start on demand up to `limit` and end after idling; work beyond that waits in order. With `limit: 1` it is a
/// serial queue on one thread, which may then also hold per-thread state such as a namespace.
public final class WorkerThreads: Sendable {
    private struct State {
        var jobs: [@Sendable () -> Void] = []
        var head = 0
        var threads = 0
        var idle = 0
    }

    private let state = Mutex(State())
    private let wakeUp: Condition
    private let limit: Int

    public init(limit: Int) {
        precondition(limit > 0)
        self.limit = limit
        self.wakeUp = Condition()
    }

    /// Runs `body` on one of the threads and waits for it without blocking the caller's.
    public func run<Value: Sendable>(_ body: @escaping @Sendable () throws -> Value) async throws -> Value {
        try await withCheckedThrowingContinuation { continuation in
            submit { continuation.resume(with: Result { try body() }) }
        }
    }

    /// Runs `body` on one of the threads; does not wait.
    public func submit(_ body: @escaping @Sendable () -> Void) {
        let startThread = state.withLock { state in
            state.jobs.append(body)
            let waiting = state.jobs.count - state.head
            guard waiting > state.idle, state.threads < limit else { return false }
            state.threads += 1
            return true
        }
        if startThread { start() }
        wakeUp.signal()
    }

    private func start() {
        let box = Unmanaged.passRetained(self)
        var thread = pthread_t()
        let failed = pthread_create(
            &thread, nil,
            { argument in
                guard let argument else { return nil }
                Unmanaged<WorkerThreads>.fromOpaque(argument).takeRetainedValue().work()
                return nil
            }, box.toOpaque())
        if failed == 0 {
            pthread_detach(thread)
        } else {
            box.release()
            let hasNone = state.withLock { state in
                state.threads -= 1
                return state.threads == 0
            }
            precondition(!hasNone, "cannot start a thread: error \(failed)")
        }
    }

    private func work() {
        while let job = next() { job() }
    }

    /// The next job, or nil after 10 s without one (a pool of one keeps its thread: it may hold per-thread state).
    private func next() -> (@Sendable () -> Void)? {
        let deadline: Int64? = limit == 1 ? nil : SystemClock.monotonicNanoseconds() + 10_000_000_000
        while true {
            let ticket = wakeUp.ticket()
            let (job, ends): ((@Sendable () -> Void)?, Bool) = state.withLock { state in
                if state.head < state.jobs.count {
                    let job = state.jobs[state.head]
                    state.head += 1
                    if state.head == state.jobs.count || state.head > 1024 {
                        state.jobs.removeFirst(state.head)
                        state.head = 0
                    }
                    return (job, false)
                }
                if let deadline, SystemClock.monotonicNanoseconds() >= deadline {
                    state.threads -= 1
                    return (nil, true)
                }
                state.idle += 1
                return (nil, false)
            }
            if let job { return job }
            if ends { return nil }
            wakeUp.wait(since: ticket, deadline: deadline)
            state.withLock { $0.idle -= 1 }
        }
    }
}

/// A condition variable that remembers signals, so that one sent between a look and a wait is not lost.
private final class Condition: @unchecked Sendable {
    // @unchecked: all state is guarded by the mutex.
    private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private let condition = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
    private var count: UInt64 = 0

    init() {
        pthread_mutex_init(mutex, nil)
        var attributes = pthread_condattr_t()
        pthread_condattr_init(&attributes)
        pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
        pthread_cond_init(condition, &attributes)
        pthread_condattr_destroy(&attributes)
    }

    deinit {
        pthread_cond_destroy(condition)
        pthread_mutex_destroy(mutex)
        condition.deallocate()
        mutex.deallocate()
    }

    func ticket() -> UInt64 {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        return count
    }

    func signal() {
        pthread_mutex_lock(mutex)
        count += 1
        pthread_mutex_unlock(mutex)
        pthread_cond_broadcast(condition)
    }

    /// Waits until a signal after `ticket`, or the deadline on the monotonic clock.
    func wait(since ticket: UInt64, deadline: Int64?) {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        while count == ticket {
            guard let deadline else {
                pthread_cond_wait(condition, mutex)
                continue
            }
            var time = timespec(tv_sec: Int(deadline / 1_000_000_000), tv_nsec: Int(deadline % 1_000_000_000))
            if pthread_cond_timedwait(condition, mutex, &time) == ETIMEDOUT { return }
        }
    }
}
