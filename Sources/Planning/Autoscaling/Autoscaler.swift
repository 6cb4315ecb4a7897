public import Base

/// Decides how many tasks a service has by what is measured of it: up at once, down when fewer were enough for a while.
///
///     tasks        ┌───────────┐ up: the next sample after the load,
///                  │           │     at most `stepFactor` times as many at once
///           ┌──────┘           │
///     ──────┘                  └────── down: to what the last `scaleDownAfter` needed most
///     load  ▁▁▁▃▆▇▇▇▇▇▂▁▁▁▁▁▁▁▁▁▁▁
///           ├──┤ decision: one sampling period
///
/// A value: its memory is the window alone, and a new one is careful, since it takes what it finds for what was needed.
public struct Autoscaler: Sendable, Hashable {
    public var policy: AutoscalePolicy
    /// What was wanted within the window.
    private var window = WindowMaximum()
    private var raisedAt: Timestamp?
    /// So many tasks were too few for a symptom, at that time: it does not ask for as few again soon.
    private var tooFew = 0
    private var tooFewAt: Timestamp?
    /// That long, in windows.
    private static let memory: Int64 = 10

    public init(policy: AutoscalePolicy) { self.policy = policy }

    /// - Parameters:
    ///   - replicas: as many tasks as the service wants now.
    ///   - sample: the last one; what it says is nothing when it is too old.
    public mutating func decide(replicas: Int, _ sample: LoadSample, at now: Timestamp) -> ScalingDecision {
        if window.largest == nil { window.add(replicas, at: now, window: policy.scaleDownAfter) }
        let isFresh = now.nanoseconds(since: sample.at) <= policy.sampleLifetime
        let readings = Signal.allCases.compactMap { signal -> ScalingDecision.Reading? in
            policy.targets[signal].map { reading(signal, $0, isFresh ? sample : nil, replicas, now) }
        }
        let most = readings.filter { $0.wanted != nil }.max { ($0.wanted ?? 0) < ($1.wanted ?? 0) }
        var decision = ScalingDecision(
            at: now, from: replicas, to: replicas, readings: readings, decisive: most?.signal, wanted: most?.wanted,
            limits: [])
        var wanted = most?.wanted ?? replicas
        let missing = readings.filter { $0.wanted == nil }.map(\.signal)
        if wanted < replicas, !missing.isEmpty {
            wanted = replicas
            decision.limits.append(.missing(missing))
        }
        wanted = clamp(wanted, isFresh ? sample : nil, &decision)
        window.add(wanted, at: now, window: policy.scaleDownAfter)
        if wanted > replicas {
            raise(to: wanted, &decision)
        } else if wanted < replicas, let largest = window.largest {
            decision.to = max(wanted, min(replicas, largest.value))
            if largest.value > wanted {
                let until = largest.at.advanced(by: policy.scaleDownAfter)
                decision.limits.append(.stabilising(min(replicas, largest.value), until: until))
            }
        }
        return decision
    }

    private mutating func raise(to wanted: Int, _ decision: inout ScalingDecision) {
        if let raisedAt, decision.from > 0 {
            let next = raisedAt.advanced(by: policy.stepInterval)
            if next > decision.at { return decision.limits.append(.interval(until: next)) }
        }
        let most = max(Int(Double(decision.from) * policy.stepFactor), decision.from + policy.stepTasks)
        decision.to = min(wanted, most)
        if most < wanted { decision.limits.append(.step(most)) }
        raisedAt = decision.at
        if decision.decisive?.kind == .symptom { (tooFew, tooFewAt) = (decision.from, decision.at) }
    }

    /// Between minimum and maximum; asleep only when it is known that nobody asks.
    private func clamp(_ wanted: Int, _ sample: LoadSample?, _ decision: inout ScalingDecision) -> Int {
        if wanted > policy.maximum {
            decision.limits.append(.maximum(policy.maximum))
            return policy.maximum
        }
        if let sample, sample.held > 0, wanted < 1 {
            decision.limits.append(.wake)
            return max(1, policy.minimum)
        }
        // One task is as few as signals of tasks can want; that nobody asks is what lets the last one go.
        let mayEnd = policy.minimum == 0 && wanted <= 1 && (sample?.isIdle ?? nil ?? (decision.from == 0))
        let least = mayEnd ? 0 : max(1, policy.minimum)
        if mayEnd { return 0 }
        if wanted < least { decision.limits.append(.minimum(least)) }
        return max(wanted, least)
    }

    private func reading(
        _ signal: Signal, _ target: Double, _ sample: LoadSample?, _ replicas: Int, _ now: Timestamp
    ) -> ScalingDecision.Reading {
        guard let sample, let measured = sample.values[signal], measured.isFinite, measured >= 0 else {
            return .init(signal: signal, measured: nil, target: target, wanted: nil)
        }
        var reading = ScalingDecision.Reading(
            signal: signal, measured: measured, target: target,
            wanted: wanted(signal, measured, target, sample, replicas, now))
        guard signal == .cpu, let wanted = reading.wanted, wanted < replicas, sample.waitedForCPU > 0 else {
            return reading
        }
        // Whose CPU others take looks idle. What it waited for counts where fewer are considered, and for no more than that: on
        // a host without CPU time more tasks are no help.
        let demand = min(100, measured + sample.waitedForCPU)
        let least = self.wanted(signal, max(measured, demand), target, sample, replicas, now) ?? replicas
        if least > wanted { (reading.wanted, reading.waited) = (min(replicas, least), sample.waitedForCPU) }
        return reading
    }

    private func wanted(
        _ signal: Signal, _ measured: Double, _ target: Double, _ sample: LoadSample, _ replicas: Int, _ now: Timestamp
    ) -> Int? {
        let tasks = Double(sample.tasks)
        switch signal.kind {
        case .total:
            // Within the tolerance for as many as are wanted: no change.
            let ratio = replicas > 0 ? measured / (target * Double(replicas)) : .infinity
            return abs(ratio - 1) <= policy.tolerance ? replicas : ceiling(measured / target)
        case .share:
            guard sample.measuredTasks > 0 else { return nil }
            // Those that are not measured do nothing if there are to be more, and are at the target if there are to be fewer:
            // either way the answer is nearer to no change.
            let unmeasured = tasks - Double(sample.measuredTasks)
            let sum = measured * Double(sample.measuredTasks) + (measured < target ? target * unmeasured : 0)
            return proportional(sum / tasks / target, tasks, replicas)
        case .symptom:
            guard sample.tasks > 0 else { return nil }
            let ratio = measured / target
            if ratio > 1 { return proportional(ratio, tasks, replicas) }
            let fewer = replicas - max(1, replicas / 10)
            let isTried =
                tooFewAt.map { now.nanoseconds(since: $0) < Autoscaler.memory * policy.scaleDownAfter } ?? false
            return ratio < 0.5 && !(isTried && fewer <= tooFew) ? fewer : replicas
        }
    }

    private func proportional(_ ratio: Double, _ tasks: Double, _ replicas: Int) -> Int {
        // Measured is what serves; tasks that are still starting were wanted for what is measured now.
        abs(ratio - 1) <= policy.tolerance ? (ratio > 1 ? max(replicas, Int(tasks)) : replicas) : ceiling(ratio * tasks)
    }

    /// Rounded up, but not for what is no more than the last digit of a division.
    private func ceiling(_ value: Double) -> Int { Int(min((value - 1e-9).rounded(.up), 1e9)) }
}
