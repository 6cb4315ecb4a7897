import Base
import Engine
import Kernel
import Planning
import Store

extension ServiceReconciler {
    /// Nanoseconds from one measurement to the next.
    private static let samplingPeriod: UInt64 = 500_000_000

    /// What was read of a task's counters.
    struct Usage {
        /// Nanoseconds, on the monotonic clock.
        let at: Int64
        /// Nanoseconds of CPU time.
        let cpu: Int64
        /// Microseconds in which something of it waited, by resource.
        let stalled: [String: Int64]
    }

    /// Measures a service that scales itself as long as it does.
    func meterAsNeeded() {
        guard service.spec.autoscale != nil, !service.isRemoved else {
            meter?.cancel()
            (meter, autoscaler, usage) = (nil, nil, [:])
            return
        }
        guard meter == nil else { return }
        meter = Task { [weak self] in
            while !Task.isCancelled {
                await self?.followLoad()
                try? await Task.sleep(nanoseconds: ServiceReconciler.samplingPeriod)  // cancelled: seen by the loop
            }
        }
    }

    /// One measurement, and what follows from it.
    private func followLoad() async {
        guard let policy = service.spec.autoscale, !service.isRemoved else { return }
        let sample = await measure()
        // What the user has changed meanwhile goes.
        guard policy == service.spec.autoscale, case .replicated(let replicas) = service.spec.mode else { return }
        var autoscaler = self.autoscaler ?? Autoscaler(policy: policy)
        autoscaler.policy = policy
        let decision = autoscaler.decide(replicas: replicas, sample, at: SystemClock.now())
        self.autoscaler = autoscaler
        lastLoad = decision
        guard decision.to != replicas else { return }
        note("autoscaler: \(decision)")
        await scale(to: decision.to)
    }

    /// The tasks that serve, and what they use.
    private func measure() async -> LoadSample {
        let serving = tasks.values.filter { $0.state == .running && $0.isWanted && $0.isHealthy }
        var totals: [Signal: Double] = [:]
        var measured = 0
        await withTaskGroup(of: (TaskRecord, Usage, memory: Double)?.self) { group in
            for task in serving {
                group.addTask { [context] in await ServiceReconciler.read(task, context) }
            }
            for await reading in group {
                guard let (task, now, memory) = reading else { continue }
                let before = usage.updateValue(now, forKey: task.id)
                guard let before, now.at > before.at else { continue }
                let elapsed = Double(now.at - before.at)
                measured += 1
                let share = Double(now.cpu - before.cpu) / elapsed / ServiceReconciler.processors(of: task)
                totals[.cpu, default: 0] += max(0, share) * 100
                totals[.memory, default: 0] += memory * 100
                let stalls = now.stalled.map { Double($1 - (before.stalled[$0] ?? $1)) * 1000 / elapsed }
                totals[.pressure, default: 0] += min(1, max(0, stalls.max() ?? 0)) * 100
            }
        }
        let known = Set(serving.map(\.id))
        usage = usage.filter { known.contains($0.key) }
        return LoadSample(
            at: SystemClock.now(), tasks: serving.count, measuredTasks: measured,
            values: measured == 0 ? [:] : totals.mapValues { $0 / Double(measured) })
    }

    /// What a task may use: its limit, or what is kept for it, or one.
    private static func processors(of task: TaskRecord) -> Double {
        let resources = task.spec.resources
        let nano = resources.limits.nanoCPUs > 0 ? resources.limits.nanoCPUs : resources.reservations.nanoCPUs
        return nano > 0 ? Double(nano) / 1e9 : 1
    }

    /// Nil when the task cannot be measured: it has just ended, or its VM does not answer.
    private static func read(
        _ task: TaskRecord, _ context: ClusterContext
    ) async -> (TaskRecord, Usage, memory: Double)? {
        guard let container = try? await context.engine.containers.find(task.containerID),  // see above
            let stats = try? await container.stats(previous: nil),
            let cpu = stats["cpu_stats"]["cpu_usage"]["total_usage"].int
        else { return nil }
        let memory = stats["memory_stats"]
        let used = (memory["usage"].int ?? 0) - (memory["stats"]["inactive_file"].int ?? 0)
        var stalled: [String: Int64] = [:]
        for (resource, pressure) in stats["pressure"].object?.members ?? [] {
            stalled[resource] = pressure["some"]["total"].int
        }
        return (
            task, Usage(at: SystemClock.monotonicNanoseconds(), cpu: cpu, stalled: stalled),
            memory: Double(max(0, used)) / Double(max(1, memory["limit"].int ?? 1))
        )
    }

    /// Changes how many tasks there are; it is no update of the service that could be rolled back.
    private func scale(to replicas: Int) async {
        service.spec.mode = .replicated(replicas: replicas)
        service.version.advance(context.counter)
        do {
            try await context.store.put("service", service.id, service.json)
        } catch { context.log.error("cannot record the scale of service \(service.name): \(error)") }
        context.publish(
            "service", "update", service.id, ["name": service.name, "replicas.new": "\(replicas)"])
        ring()
    }
}
