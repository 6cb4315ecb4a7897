import Base

extension ServicePass {
    /// A rollout begins when there is a task of another version, and the last one is not paused.
    mutating func beginRollout() {
        guard !isRolling, !isPaused, slots.contains(where: isDirty) else { return }
        plan.rollout = RolloutStatus(state: .updating, startedAt: now, message: "update in progress")
    }

    /// Takes as many slots in hand as the rollout may.
    ///
    /// - Returns: whether the rest of the plan is worth making: not before a rollback.
    mutating func roll() -> Bool {
        guard isRolling, let status = plan.rollout else { return true }
        let failed = failedSlots(since: status.startedAt)
        let total = max(1, service.wanted.count)
        if Double(failed.count) > config.maximumFailureRatio * Double(total) + 1e-9, config.failureAction != .continue {
            return giveUp(status, failed, of: total)
        }
        if status.state == .updating {
            plan.rollout?.message = service.impossibility.map { "update waits: \($0)" } ?? "update in progress"
        }
        keepWhatIsAlreadyThere()
        let dirty = slots.filter { isDirty($0) && !picked.contains($0.slot) }
        let limit = config.parallelism == 0 ? Int.max : config.parallelism
        let budget = limit - busySlots(since: status.startedAt, besides: failed)
        guard budget > 0 else { return true }
        // What does not serve anyway costs nothing.
        let broken = dirty.filter { !$0.serves(at: now, patience) }
        let serving = dirty.filter { $0.serves(at: now, patience) }
        for view in (broken + serving).prefix(budget) { replace(view) }
        return true
    }

    private mutating func replace(_ view: SlotView) {
        if let reason = service.impossibility, view.serves(at: now, patience), config.order == .stopFirst {
            return note(view.slot, "its task goes on: none of the new specification could take its place: \(reason)")
        }
        picked.insert(view.slot)
        guard let newest = view.newest else { return }
        if let fault = view.fault {
            if newest.isActive { plan.actions.append(.fail(task: newest.id, fault: fault)) }
            start(view.slot, service.version, RestartHistory(), "updated; the one before: \(fault)")
        } else if config.order == .startFirst || !newest.isActive {
            start(view.slot, service.version, RestartHistory(), "updated")
        } else {
            for task in view.tasks where task.isWanted { stop(task, .updated) }
        }
    }

    /// A rollback in the middle of `start-first` finds the task it wants beside the one it does not.
    private mutating func keepWhatIsAlreadyThere() {
        for view in slots where isDirty(view) {
            let isThere = view.superseded.contains {
                guard $0.version == service.version else { return false }
                if case .broken = $0.condition(at: now, patience) { return false }
                return true
            }
            guard isThere else { continue }
            picked.insert(view.slot)
            for task in view.tasks where task.isWanted && task.version != service.version { stop(task, .updated) }
        }
    }

    /// Slots that count as under way: they do not serve, or have not served for `delay`.
    private mutating func busySlots(since start: Timestamp, besides failed: Set<Slot>) -> Int {
        var count = vacancies
        for view in slots {
            guard let newest = view.newest, !isDirty(view) else { continue }
            if view.isServing {
                let free = (newest.runningSince ?? newest.stateSince).advanced(by: config.delay)
                guard newest.createdAt >= start, free > now else { continue }
                plan.wake(at: free)
                count += 1
            } else if !failed.contains(view.slot), !isSettled(view, newest) {
                count += 1
            }
        }
        return count
    }

    /// Whether the slot has no task and gets none.
    private func isSettled(_ view: SlotView, _ newest: ObservedTask) -> Bool {
        switch view.condition {
        case .complete, .broken:
            if case .never = restarts.decide(service.restart, after: view.fault, of: newest, at: now) { return true }
            return false
        default: return false
        }
    }

    /// Slots in which a task of the new version has failed while it was watched.
    private func failedSlots(since start: Timestamp) -> Set<Slot> {
        var failed: Set<Slot> = []
        for view in slots {
            for task in view.tasks where task.version == service.version && task.createdAt >= start {
                guard case .broken(let fault) = task.condition(at: now, patience), fault.isOwn,
                    task.lifetime(at: now) < config.monitor
                else { continue }
                failed.insert(view.slot)
            }
        }
        return failed
    }

    private mutating func giveUp(_ status: RolloutStatus, _ failed: Set<Slot>, of total: Int) -> Bool {
        let slots = failed.sorted().prefix(3).map(\.description).joined(separator: ", ")
        let reason =
            "\(failed.count) of \(Text.count(total, "task")) failed (slot \(slots)\(failed.count > 3 ? ", …" : ""))"
        var status = status
        let mayRollBack = !status.state.isRollback && service.previousVersion != nil
        if config.failureAction == .rollback, mayRollBack {
            status = RolloutStatus(
                state: .rollbackStarted, startedAt: now, message: "rollback: update failed: \(reason)")
            plan.actions = [.rollBack(reason: reason)]
            plan.notes = []
            plan.wakeAt = nil
        } else {
            status.state = status.state.isRollback ? .rollbackPaused : .paused
            status.message = "\(status.state.isRollback ? "rollback" : "update") paused: \(reason)"
        }
        plan.rollout = status
        return status.state.isPaused
    }

    /// A rollout is complete when all serve the new version and have been watched, or will never run again.
    mutating func finishRollout() {
        plan.serving = slots.count { $0.serves(at: now, patience) }
        guard isRolling, var status = plan.rollout, vacancies == 0, !plan.actions.contains(where: \.isRollBack) else {
            return
        }
        var watched: Timestamp?
        for view in slots {
            guard let newest = view.newest, !isDirty(view) else { return }
            if settled.contains(view.slot) { continue }
            guard view.isServing, view.superseded.isEmpty else { return }
            if newest.createdAt >= status.startedAt {
                let end = (newest.runningSince ?? newest.stateSince).advanced(by: config.monitor)
                watched = max(watched ?? end, end)
            }
        }
        if let watched, watched > now { return plan.wake(at: watched) }
        let isRollback = status.state.isRollback
        status.state = isRollback ? .rollbackCompleted : .completed
        status.completedAt = now
        status.message = isRollback ? "rollback completed" : "update completed"
        plan.rollout = status
    }
}

extension ServicePlan.Action {
    var isRollBack: Bool { if case .rollBack = self { true } else { false } }
}
