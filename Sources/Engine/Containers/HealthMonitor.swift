import Base
import Kernel
import Synchronization

/// What a container's health checks found. Pure.
///
///     starting ──success──▶ healthy ⇄ (retries failures in a row) unhealthy
///     starting ──(retries failures after the start period)──▶ unhealthy
struct HealthState {
    /// As many results as Docker keeps.
    static let logLimit = 5

    private(set) var status = "starting"
    private(set) var failingStreak: Int64 = 0
    private(set) var log: [JSON] = []

    var json: JSON { ["Status": JSON(status), "FailingStreak": JSON(failingStreak), "Log": JSON(log)] }

    /// Takes a check's result.
    ///
    /// - Returns: the new status when it changed.
    mutating func record(_ result: JSON, isInStartPeriod: Bool, retries: Int64) -> String? {
        log = (log + [result]).suffix(HealthState.logLimit)
        let old = status
        if result["ExitCode"] == 0 {
            failingStreak = 0
            status = "healthy"
        } else if !(isInStartPeriod && old == "starting") {
            failingStreak += 1
            if failingStreak >= retries { status = "unhealthy" }
        }
        return status == old ? nil : status
    }
}

/// Runs a container's health check again and again and keeps what it found.
final class HealthMonitor: Sendable {
    private struct State {
        var health = HealthState()
        var task: Task<Void, Never>?
    }

    let interval: Double
    let timeout: Double
    let startPeriod: Double
    let startInterval: Double
    let retries: Int64
    let command: [String]
    private let state = Mutex(State())

    /// nil when the container has no check, or `NONE`. Durations in the document are nanoseconds, 0 the default.
    init?(_ check: JSON, shell: [String]) {
        guard let test = check["Test"].strings, let kind = test.first, kind != "NONE" else { return nil }
        switch kind {
        case "CMD": command = Array(test.dropFirst())
        case "CMD-SHELL": command = shell + test.dropFirst()
        default: return nil
        }
        func seconds(_ key: String, _ standard: Double) -> Double {
            guard let value = check[key].int, value > 0 else { return standard }
            return Double(value) / 1e9
        }
        interval = seconds("Interval", 30)
        timeout = seconds("Timeout", 30)
        startPeriod = seconds("StartPeriod", 0)
        startInterval = seconds("StartInterval", 5)
        let retries = check["Retries"].int ?? 0
        self.retries = retries > 0 ? retries : 3
    }

    var json: JSON { state.withLock { $0.health.json } }
    var status: String { state.withLock { $0.health.status } }

    func stop() {
        state.withLock { state in
            state.task?.cancel()
            state.task = nil
        }
    }

    /// - Parameter age: nanoseconds since the container was started: an earlier daemon may have done that.
    func start(on container: Container, age: Int64) {
        let started = SystemClock.monotonicNanoseconds() - age
        let task = Task { [weak self, weak container] in
            while !Task.isCancelled {
                guard let self, let monitored = container else { return }
                let age = Double(SystemClock.monotonicNanoseconds() - started) / 1e9
                let isStarting = self.status == "starting" && age < self.startPeriod
                let pause = isStarting ? min(self.startInterval, self.interval) : self.interval
                try? await Task.sleep(nanoseconds: UInt64(pause * 1e9))  // cancelled: looked at on the next line
                guard !Task.isCancelled else { return }
                await self.check(monitored, started: started)
            }
        }
        state.withLock { $0.task = task }
    }

    private func check(_ container: Container, started: Int64) async {
        let start = SystemClock.now()
        let began = SystemClock.monotonicNanoseconds()
        // Nobody in a VM that stands still can be asked, nor is to blame.
        guard await !container.isStalled else { return }
        var code: Int64 = -1
        var output: String
        do {
            (code, output) = try await container.probe(command, timeout: timeout)
        } catch {
            if await container.hasStalled(since: began) { return }
            output = "\(error)"
        }
        guard !Task.isCancelled else { return }
        let result: JSON = [
            "Start": JSON(start.text), "End": JSON(SystemClock.now().text), "ExitCode": JSON(code),
            "Output": JSON(output),
        ]
        let inStartPeriod = Double(SystemClock.monotonicNanoseconds() - started) / 1e9 < startPeriod
        let change = state.withLock {
            $0.health.record(result, isInStartPeriod: inStartPeriod, retries: retries)
        }
        if let change { await container.healthChanged(change) }
    }
}

extension Container {
    func startHealthMonitor() {
        health?.stop()
        let shell = record.config["Shell"].strings ?? ["/bin/sh", "-c"]
        health = HealthMonitor(record.config["Healthcheck"], shell: shell)
        // Set back meanwhile, the clock tells nothing: it counts as started just now.
        let age = record.state.startedAt.map { SystemClock.now().nanoseconds(since: $0) } ?? 0
        health?.start(on: self, age: min(max(0, age), 1 << 62))
    }

    func healthChanged(_ status: String) { publish("health_status: " + status) }
}
