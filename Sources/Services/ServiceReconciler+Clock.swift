import Base
import Kernel
import Planning

/// What is planned follows from when things happened, by the wall clock, since it outlives the daemon. Somebody may set that
/// clock. Then all that is remembered moves with it: which task is the newest, and how long each is in its state, stays true.
extension ServiceReconciler {
    /// A smaller step is no more than a clock that is kept in time.
    private static let smallestStep: Int64 = 500_000_000

    /// Both clocks at one moment.
    struct Moment {
        let wall: Timestamp
        let monotonic: Int64

        static var now: Moment { Moment(wall: SystemClock.now(), monotonic: SystemClock.monotonicNanoseconds()) }
    }

    /// To be called before times are compared or written down.
    func heedClock() async {
        let now = Moment.now
        let passed = now.monotonic - lastMoment.monotonic
        var step = now.wall.nanoseconds(since: lastMoment.wall) - passed
        if abs(step) < ServiceReconciler.smallestStep { step = 0 }
        lastMoment = now
        await shift(by: step, at: now.wall)
    }

    /// - Parameter step: what was seen of it. What lies ahead of now was written down before the clock was set back, in any
    ///   case: by an earlier daemon, or within the smallest step.
    private func shift(by step: Int64, at now: Timestamp) async {
        var step = step
        if let latest = tasks.values.map(\.latest).max() {
            let ahead = latest.advanced(by: step).nanoseconds(since: now)
            if ahead > 0 { step -= ahead }
        }
        guard step != 0 else { return }
        if abs(step) >= ServiceReconciler.smallestStep {
            context.log.warning(
                "the clock was set", ["service": service.name, "seconds": "\(step / 1_000_000_000)"])
        }
        for id in tasks.keys { tasks[id]?.shift(by: step) }
        for index in decisions.indices { decisions[index].time = decisions[index].time.advanced(by: step) }
        // What it remembers of the load is of another time.
        if let policy = autoscaler?.policy { autoscaler = Autoscaler(policy: policy) }
        if let rollout = service.rollout {
            service.rollout = RolloutStatus(
                state: rollout.state, startedAt: rollout.startedAt.advanced(by: step),
                completedAt: rollout.completedAt?.advanced(by: step), message: rollout.message)
        }
        for task in tasks.values { await save(task) }
    }
}
