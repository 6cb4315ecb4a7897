public import Base
import Kernel
import Networks

/// What is known of a service's requests.
public struct HTTPFigures: Sendable, Hashable {
    /// As HAProxy counted since its process was started: `requests` with an answer or without, `errors` answered with a
    /// status of 500 and more, `failures` that no task answered, `retries` with another task.
    public var requests = 0
    public var errors = 0
    public var failures = 0
    public var retries = 0
    /// Mean over the last second or a little more.
    public var requestsPerSecond = 0.0
    /// Under way, those held included.
    public var concurrency = 0
    /// Of those, waiting for a task.
    public var held = 0
    /// Until the answer's head, in milliseconds: percentile → time. Empty when no request has ended of late.
    public var latencyMilliseconds: [Int: Int] = [:]
    /// By container.
    public var concurrencyOfTasks: [String: Int] = [:]

    public var json: JSON {
        var json: JSON = [
            "Requests": JSON(requests), "Errors": JSON(errors), "Failures": JSON(failures), "Retries": JSON(retries),
            "RequestsPerSecond": JSON((requestsPerSecond * 10).rounded() / 10), "Concurrency": JSON(concurrency),
            "Held": JSON(held), "LatencyMilliseconds": [:],
        ]
        for (percent, milliseconds) in latencyMilliseconds.sorted(by: { $0.key < $1.key }) {
            json["LatencyMilliseconds"]["p\(percent)"] = JSON(milliseconds)
        }
        return json
    }
}

/// The one place where the figures of HTTP services are read: HAProxy is asked no more than five times a second, however
/// many services there are and whoever wants to know.
actor HTTPMeter {
    private static let lifetime: Int64 = 200_000_000
    /// Nanoseconds that rates are the mean of.
    private static let window: Int64 = 1_000_000_000

    private let balancer: HTTPBalancer
    private var figures: [String: HTTPFigures] = [:]
    private var readAt: Int64?
    /// By service: counts of the last second or a little more, the oldest first.
    private var counts: [String: [(at: Int64, requests: Int)]] = [:]

    init(_ balancer: HTTPBalancer) { self.balancer = balancer }

    /// By service.
    ///
    /// - Parameter fresh: asks again although the last answer is not old yet.
    /// - Throws: when HAProxy does not answer.
    func read(fresh: Bool = false) async throws -> [String: HTTPFigures] {
        if !fresh, let readAt, SystemClock.monotonicNanoseconds() - readAt < HTTPMeter.lifetime { return figures }
        let metrics = try await balancer.metrics()
        let now = SystemClock.monotonicNanoseconds()
        var result: [String: HTTPFigures] = [:]
        for (id, metrics) in metrics {
            var own = HTTPFigures()
            (own.requests, own.errors, own.failures) = (metrics.requests, metrics.serverErrors, metrics.failures)
            (own.retries, own.concurrency) = (metrics.retries, metrics.concurrency)
            own.held = metrics.concurrencyOfMembers.isEmpty ? metrics.concurrency : metrics.queued
            own.latencyMilliseconds = metrics.latencyMilliseconds
            own.concurrencyOfTasks = metrics.concurrencyOfMembers
            own.requestsPerSecond = rate(id, metrics.requests, now)
            result[id] = own
        }
        counts = counts.filter { metrics[$0.key] != nil }
        (figures, readAt) = (result, now)
        return result
    }

    private func rate(_ id: String, _ requests: Int, _ now: Int64) -> Double {
        var past = counts[id] ?? []
        // A process that replaced another one counts from 0.
        if let last = past.last, requests < last.requests { past = past.map { ($0.at, 0) } }
        past.append((now, requests))
        // The newest one that is old enough stays.
        while past.count > 2, now - past[1].at >= HTTPMeter.window { past.removeFirst() }
        counts[id] = past
        guard let first = past.first, now > first.at else { return 0 }
        return Double(requests - first.requests) * 1e9 / Double(now - first.at)
    }
}
