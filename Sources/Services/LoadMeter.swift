import Base
import Engine
import Kernel
import Planning

/// Measures what the tasks of a service use: the values of one moment to the next.
struct LoadMeter {
    private struct Reading {
        let time: Int64
        /// Nanoseconds of CPU time.
        let cpu: Int64
        /// Microseconds in which something waited, by resource.
        let waited: [String: Int64]
        /// The same for CPU time, of the VM's own processes, too, whom it is the host that lets wait.
        let waitedForCPU: Int64
    }

    /// By container.
    private var last: [String: Reading] = [:]

    /// The mean over those of the tasks that were measured before, too.
    ///
    /// - Parameter statistics: by container, with the time of the monotonic clock they were read at.
    mutating func sample(
        _ statistics: [(container: String, time: Int64, document: JSON)], serving: Int, resources: TaskResources
    ) -> LoadSample {
        var (cpu, memory, pressure, waits): ([Double], [Double], [Double], [Double]) = ([], [], [], [])
        var next: [String: Reading] = [:]
        // What a task may use: its limit, or what is kept for it, or one core, since several share the host.
        let amounts = [resources.limits.nanoCPUs, resources.reservations.nanoCPUs]
        let nano = amounts.first(where: { $0 > 0 }) ?? 1_000_000_000
        let cores = Double(nano) / 1e9
        for (container, time, document) in statistics {
            let waited = Dictionary(
                uniqueKeysWithValues: ["cpu", "memory", "io"].map {
                    ($0, document["pressure"][$0]["some"]["total"].int ?? 0)
                })
            let reading = Reading(
                time: time, cpu: document["cpu_stats"]["cpu_usage"]["total_usage"].int ?? 0, waited: waited,
                waitedForCPU: max(
                    waited["cpu"] ?? 0, document["host"]["pressure"]["cpu"]["some"]["total"].int ?? 0))
            next[container] = reading
            guard let before = last[container], time > before.time else { continue }
            let passed = Double(time - before.time)
            cpu.append(100 * Double(max(0, reading.cpu - before.cpu)) / passed / cores)
            let used = Double(document["memory_stats"]["usage"].int ?? 0)
            memory.append(100 * used / Double(max(1, document["memory_stats"]["limit"].int ?? 1)))
            let missed = 1000 * Double(max(0, reading.waitedForCPU - before.waitedForCPU))
            waits.append(min(100, 100 * missed / passed / cores))
            let longest = waited.map { $0.value - (before.waited[$0.key] ?? 0) }.max() ?? 0
            pressure.append(min(100, 100 * Double(max(0, longest)) * 1000 / passed))
        }
        last = next
        func mean(_ values: [Double]) -> Double { values.reduce(0, +) / Double(values.count) }
        var values: [Signal: Double] = [:]
        if !cpu.isEmpty { values = [.cpu: mean(cpu), .memory: mean(memory), .pressure: mean(pressure)] }
        return LoadSample(
            at: SystemClock.now(), tasks: serving, measuredTasks: cpu.count, values: values,
            waitedForCPU: waits.isEmpty ? 0 : mean(waits))
    }
}
