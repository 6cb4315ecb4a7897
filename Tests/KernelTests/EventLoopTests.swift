import CLinux
import Glibc
import Kernel
import Synchronization
import Testing

@Suite(.timeLimit(.minutes(1))) struct EventLoopTests {
    private func pipe() throws -> (read: OwnedDescriptor, write: OwnedDescriptor) {
        var ends: [Int32] = [0, 0]
        try check(cl_pipe2(&ends, 0), "pipe2")
        return (OwnedDescriptor(ends[0]), OwnedDescriptor(ends[1]))
    }

    @Test func descriptorsAreReportedUntilForgotten() throws {
        let loop = try EventLoop()
        let ends = try pipe()
        var seen: [EventLoop.Interest] = []
        try loop.watch(ends.read.raw, .readable) { seen.append($0) }
        try loop.turn(limitMilliseconds: 0)
        #expect(seen.isEmpty)
        write(ends.write.raw, "x", 1)
        try loop.turn(limitMilliseconds: 1000)
        try loop.turn(limitMilliseconds: 1000)
        #expect(seen == [.readable, .readable], "level-triggered")
        loop.change(ends.read.raw, to: [])
        try loop.turn(limitMilliseconds: 0)
        #expect(seen.count == 2)
        ends.write.close()
        try loop.turn(limitMilliseconds: 1000)
        #expect(seen.last?.contains(.hungUp) == true, "the end is reported always")
        loop.forget(ends.read.raw)
        try loop.turn(limitMilliseconds: 0)
        #expect(seen.count == 3)
        #expect(throws: KernelError.self) { try loop.watch(1_000_000, .readable) { _ in } }
    }

    /// A handler may close a descriptor whose event is waiting, and open another that gets its number.
    @Test func anEventOfAClosedDescriptorReachesNobody() throws {
        let loop = try EventLoop()
        let first = try pipe()
        let second = try pipe()
        write(first.write.raw, "x", 1)
        write(second.write.raw, "x", 1)
        var calls: [String] = []
        var replacement: OwnedDescriptor?
        func replace(_ other: OwnedDescriptor) throws {
            let number = other.raw
            loop.forget(number)
            other.close()
            let new = try pipe()
            // The new end at the old number.
            #expect(dup2(new.read.raw, number) == number)
            replacement = OwnedDescriptor(number)
            try loop.watch(number, .readable) { _ in calls.append("new") }
        }
        func watch(_ name: String, _ one: OwnedDescriptor, other: OwnedDescriptor) throws {
            try loop.watch(one.raw, .readable) { _ in
                calls.append(name)
                do { try replace(other) } catch { Issue.record(error) }
            }
        }
        try watch("first", first.read, other: second.read)
        try watch("second", second.read, other: first.read)
        try loop.turn(limitMilliseconds: 1000)
        #expect(calls.count == 1 && calls != ["new"])
        withExtendedLifetime(replacement) {}
    }

    @Test func timersFireInOrderAndOnce() throws {
        let loop = try EventLoop()
        var fired: [Int] = []
        // So far apart that a busy host does not make them due together: who is due already fires before who is asked for then.
        loop.after(milliseconds: 900) { fired.append(900) }
        loop.after(milliseconds: 5) {
            fired.append(5)
            loop.after(milliseconds: 0) { fired.append(6) }
        }
        let cancelled = loop.after(milliseconds: 1) { fired.append(1) }
        loop.cancel(cancelled)
        loop.after(milliseconds: 920) { loop.stop() }
        try loop.run()
        #expect(fired == [5, 6, 900])
        let before = SystemClock.monotonicNanoseconds()
        try loop.turn(limitMilliseconds: 1)
        #expect(SystemClock.monotonicNanoseconds() - before < 5_000_000_000)
    }
}

@Suite(.timeLimit(.minutes(1))) struct WorkerThreadsTests {
    @Test func workIsDoneAndErrorsComeBack() async throws {
        let threads = WorkerThreads(limit: 3)
        try await withThrowingTaskGroup(of: Int.self) { group in
            for number in 0..<500 {
                group.addTask { try await threads.run { number * 2 } }
            }
            var sum = 0
            for try await value in group { sum += value }
            #expect(sum == 500 * 499)
        }
        await #expect(throws: KernelError.self) {
            try await threads.run { throw KernelError("x", "y", errno: ENOENT) }
        }
    }

    private final class Gauge: Sendable {
        let running = Atomic(0)
        let most = Atomic(0)
        let order = Mutex<[Int]>([])
        let threads = Mutex<Set<UInt>>([])
    }

    @Test func noMoreRunAtATimeThanTheLimit() async throws {
        let threads = WorkerThreads(limit: 2)
        let gauge = Gauge()
        try await withThrowingTaskGroup(of: Void.self) { group in
            for _ in 0..<20 {
                group.addTask {
                    try await threads.run {
                        let now = gauge.running.add(1, ordering: .relaxed).newValue
                        _ = gauge.most.max(now, ordering: .relaxed)
                        usleep(2000)
                        gauge.running.subtract(1, ordering: .relaxed)
                    }
                }
            }
            try await group.waitForAll()
        }
        #expect(gauge.most.load(ordering: .relaxed) == 2)
    }

    @Test func aPoolOfOneIsAQueueOnOneThread() async throws {
        let threads = WorkerThreads(limit: 1)
        let gauge = Gauge()
        for number in 0..<200 {
            threads.submit {
                gauge.order.withLock { $0.append(number) }
                gauge.threads.withLock { _ = $0.insert(UInt(pthread_self())) }
            }
        }
        try await threads.run {}
        #expect(gauge.order.withLock { $0 } == Array(0..<200))
        #expect(gauge.threads.withLock { $0.count } == 1)
    }
}
