public import Base

/// Decides what a job's tasks need: so many that complete, a few of them at a time.
///
///     slots      1 ✓   2 ✓   3 ▇   4 ▇   5     6            two at a time, six in all
///
/// A slot is done when a task of it has completed. One that failed is tried again by the restart policy. A new iteration (the
/// service's `version`) begins anew: tasks of the one before are told to stop.
public struct JobPlanner: Sendable, Hashable {
    public var restarts: RestartPlanner
    public var patience: Patience

    public init(restarts: RestartPlanner = RestartPlanner(), patience: Patience = Patience()) {
        self.restarts = restarts
        self.patience = patience
    }

    /// The plan at this time.
    ///
    /// - Parameter maximumConcurrent: active tasks at a time.
    public func plan(_ service: ObservedService, maximumConcurrent: Int, at now: Timestamp) -> ServicePlan {
        var plan = ServicePlan()
        plan.rollout = service.rollout
        for task in service.tasks where task.version != service.version && task.isWanted {
            plan.actions.append(.stop(task: task.id, reason: .updated))
        }
        let wanted: [Slot] =
            switch service.wanted {
            case .replicas(let count): (0..<max(0, count)).map { .replica($0 + 1) }
            case .nodes(let ids): ids.map(Slot.node)
            }
        let current = service.tasks.filter { $0.version == service.version }
        var views: [Slot: SlotView] = [:]
        for view in SlotView.all(of: current, patience, now) { views[view.slot] = view }
        for (slot, view) in views where !wanted.contains(slot) {
            for task in view.tasks where task.isWanted {
                plan.actions.append(.stop(task: task.id, reason: .scaledDown))
            }
        }
        var active = 0
        var due: [ServicePlan.Start] = []
        for slot in wanted {
            guard let view = views[slot], let newest = view.newest else {
                due.append(.init(slot: slot, version: service.version, history: RestartHistory(), reason: "wanted"))
                continue
            }
            switch view.condition {
            case .complete, .stopped: continue
            case .starting(let deadline), .serving(let deadline):
                plan.wake(at: deadline)
                active += 1
            case .broken(let fault):
                if newest.isActive {
                    plan.actions.append(.fail(task: newest.id, fault: fault))
                    active += 1
                    continue
                }
                switch restarts.decide(service.restart, after: fault, of: newest, at: now) {
                case .now(let history, let reason):
                    due.append(.init(slot: slot, version: service.version, history: history, reason: reason))
                case .at(let time, let reason):
                    plan.wake(at: time)
                    plan.notes.append(.init(slot: slot, text: "\(reason); next try at \(time.text)"))
                case .never(let reason): plan.notes.append(.init(slot: slot, text: reason))
                }
            }
        }
        plan.serving = active
        plan.actions += due.prefix(max(0, maximumConcurrent - active)).map { .start($0) }
        return plan
    }
}
