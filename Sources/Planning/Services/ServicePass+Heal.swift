import Base

extension ServicePass {
    /// Looks after every slot that the rollout does not take in hand: successors for what ended, broke or has to move.
    mutating func heal() {
        for view in slots where !picked.contains(view.slot) {
            guard let newest = view.newest else { continue }
            switch view.condition {
            case .starting(let deadline):
                plan.wake(at: deadline)
                note(view.slot, "\(newest.state.rawValue)\(newest.message.isEmpty ? "" : ": \(newest.message)")")
                move(view, newest)
            case .serving(let deadline):
                plan.wake(at: deadline)
                for task in view.superseded { stop(task, task.version == newest.version ? .replaced : .updated) }
                move(view, newest)
            case .complete: succeed(view, newest, after: nil)
            case .broken(let fault): succeed(view, newest, after: fault)
            case .stopped: break
            }
            if view.isServing { continue }
            for task in view.superseded { watch(task) }
        }
    }

    /// One that serves on, or is still on its way, while its successor comes up.
    private mutating func watch(_ task: ObservedTask) {
        switch task.condition(at: now, patience) {
        case .starting(let deadline), .serving(let deadline): plan.wake(at: deadline)
        case .broken: failIfBroken(task)
        case .complete, .stopped: break
        }
    }

    private mutating func failIfBroken(_ task: ObservedTask) {
        guard case .broken(let fault) = task.condition(at: now, patience), task.isActive else { return }
        plan.actions.append(.fail(task: task.id, fault: fault))
    }

    /// A successor for a task that ended or broke, by the restart policy.
    private mutating func succeed(_ view: SlotView, _ task: ObservedTask, after fault: Fault?) {
        failIfBroken(task)
        switch restarts.decide(service.restart, after: fault, of: task, at: now) {
        case .now(let history, let reason): start(view.slot, successor(of: task.version), history, reason)
        case .at(let time, let reason):
            plan.wake(at: time)
            note(view.slot, "\(reason); next try at \(time.text)")
        case .never(let reason):
            settled.insert(view.slot)
            note(view.slot, reason)
        }
    }

    /// The tasks of a draining node move: first the successor, then the end of what it succeeds.
    private mutating func move(_ view: SlotView, _ newest: ObservedTask) {
        if newest.nodeCondition == .draining, case .replicas = service.wanted, newest.isActive {
            return start(view.slot, successor(of: newest.version), newest.history, "its node is draining")
        }
        if view.isServing { return }
        let deadline = newest.createdAt.advanced(by: patience.draining)
        for task in view.superseded where task.nodeCondition == .draining {
            if deadline > now { plan.wake(at: deadline) } else { stop(task, .drained) }
        }
    }
}
