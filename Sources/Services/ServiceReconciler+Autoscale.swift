import Base
import Engine
import Kernel
import Planning

/// Lets the tasks of a service follow its load.
extension ServiceReconciler {
    /// Nanoseconds from one look at the load to the next: a decision comes within two of them.
    static let samplingInterval: UInt64 = 500_000_000

    /// Begins, goes on with or ends the sampling, as the service's labels say now.
    func followLoad() {
        // Labels were checked when the service was made or changed.
        let policy = service.isRemoved ? nil : (try? AutoscalePolicy(labels: service.spec.labels)) ?? nil
        guard let policy, case .replicated = service.spec.mode else {
            sampling?.cancel()
            sampling = nil
            autoscaler = nil
            return
        }
        if autoscaler?.policy != policy { autoscaler = Autoscaler(policy: policy) }
        guard sampling == nil else { return }
        sampling = Task { [weak self] in
            while !Task.isCancelled {
                try? await Task.sleep(nanoseconds: ServiceReconciler.samplingInterval)  // cancelled: seen above
                await self?.sampleLoad()
            }
        }
    }

    /// - Parameter fresh: HAProxy is asked although it was a moment ago.
    func sampleLoad(fresh: Bool = false) async {
        // Nobody in a VM that stands still tells anything.
        let serving = tasks.values.filter { $0.state == .running && $0.isWanted && !$0.isStalled }
        var statistics: [(container: String, time: Int64, document: JSON)] = []
        for task in serving {
            // One that has just ended is not measured.
            guard let container = try? await context.engine.containers.find(task.containerID),
                let document = try? await container.stats(previous: nil)
            else { continue }
            statistics.append((task.containerID, SystemClock.monotonicNanoseconds(), document))
        }
        var sample = meter.sample(statistics, serving: serving.count, resources: service.spec.task.resources)
        if let http = await httpFigures(fresh: fresh) {
            sample.values[.requestsPerSecond] = http.requestsPerSecond
            sample.values[.concurrency] = Double(http.concurrency)
            if let latency = http.latencyMilliseconds[95] { sample.values[.latencyP95] = Double(latency) }
            sample.held = http.held
        }
        guard case .replicated(let replicas) = service.spec.mode, !service.isRemoved,
            let decision = autoscaler?.decide(replicas: replicas, sample, at: SystemClock.now())
        else { return }
        lastScaling = decision
        guard decision.to != replicas else { return }
        note("autoscaler: \(decision)")
        if decision.to > replicas { counts.scaledUp += 1 } else { counts.scaledDown += 1 }
        var changed = service
        // Not a change of the user's: the version stays, so that his next one is not refused.
        changed.spec.mode = .replicated(replicas: decision.to)
        do {
            try await replace(changed)
        } catch {
            context.log.error("cannot record the scaling of a service", ["service": service.name, "error": "\(error)"])
        }
        ring()
    }
}
