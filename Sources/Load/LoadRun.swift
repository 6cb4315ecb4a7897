public import Base
import Glibc
import Kernel

/// A load test that is under way: threads of its own send, the caller looks.
public final class LoadRun: Sendable {
    public let plan: LoadPlan
    private let monitor: LoadMonitor
    private let start: Int64
    /// The wall-clock time of the profile's begin.
    public let started: Timestamp

    /// Finds the hosts and starts the threads.
    ///
    /// - Throws: `SkalaError` for a plan of which no test can be made, an unknown host, or what the host lacks.
    public init(_ plan: LoadPlan) throws {
        try plan.validate()
        LoadRun.raiseDescriptorLimit()
        self.plan = plan
        var origins: [LoadTarget.Origin: [HostAddress]] = [:]
        for target in plan.targets where origins[target.origin] == nil {
            origins[target.origin] = try HostAddress.find(host: target.host, port: target.port)
        }
        monitor = LoadMonitor(workers: plan.threads, interval: plan.interval)
        // So that all threads are there.
        start = SystemClock.monotonicNanoseconds() + 5_000_000
        started = SystemClock.now()
        for number in 0..<plan.threads { startThread(number, origins) }
    }

    private final class Job {
        let body: () -> Void
        init(_ body: @escaping () -> Void) { self.body = body }
    }

    private func startThread(_ number: Int, _ origins: [LoadTarget.Origin: [HostAddress]]) {
        let (plan, monitor, start) = (plan, monitor, start)
        let job = Job {
            do {
                let worker = try LoadWorker(plan, number: number, origins: origins, monitor: monitor)
                try worker.run(from: start)
                monitor.end(nil)
            } catch { monitor.end(error) }
        }
        let box = Unmanaged.passRetained(job)
        var thread = pthread_t()
        let status = pthread_create(
            &thread, nil,
            { argument in
                guard let argument else { return nil }
                Unmanaged<Job>.fromOpaque(argument).takeRetainedValue().body()
                return nil
            }, box.toOpaque())
        guard status == 0 else {
            box.release()
            return monitor.end(KernelError("pthread_create", "", errno: status))
        }
        pthread_detach(thread)
    }

    /// As many descriptors as are allowed: each connection takes one.
    private static func raiseDescriptorLimit() {
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return }
        limit.rlim_cur = limit.rlim_max
        setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
    }

    /// Ends the test now: what is under way is not counted.
    public func stop() { monitor.stop() }

    /// All threads have come to their end.
    public var hasEnded: Bool { monitor.endedAt != nil }

    /// Nanoseconds since the profile's begin; until the last thread's end once they have ended.
    public var elapsed: Int64 { max(0, (monitor.endedAt ?? SystemClock.monotonicNanoseconds()) - start) }

    /// What has been counted so far, up to the last whole interval.
    public var total: LoadStatistics { monitor.total }
    public var intervals: [LoadInterval] { monitor.intervals }

    /// The result, once `hasEnded`.
    ///
    /// - Throws: why a thread could not work.
    public func report() throws -> LoadReport {
        if let failure = monitor.failure { throw failure }
        return LoadReport(
            plan: plan, started: started, elapsed: elapsed, wasStopped: monitor.isStopped, total: monitor.total,
            intervals: monitor.intervals)
    }
}
