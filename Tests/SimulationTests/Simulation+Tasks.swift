import Base
import Planning
import TestSupport

extension Simulation {
    /// What tasks do by themselves.
    mutating func progress(_ index: Int) {
        for number in services[index].tasks.indices {
            var task = services[index].tasks[number]
            guard task.isActive else { continue }
            let before = (task.observed.state, task.observed.isHealthy)
            if task.observed.nodeCondition == .down {
                // Nobody waits for the end of what is not wanted and cannot be reached.
                if !task.observed.isWanted { end(&task, .orphaned) }
            } else if task.observed.node != nil {
                step(&task)
                if services[index].hasSigns, !isHung(task) { task.observed.lastSign = clock }
            }
            if task.observed.state != before.0 || task.observed.isHealthy != before.1 {
                services[index].isChanged = true
                log(
                    "\(services[index].name): \(task.observed.id) \(task.observed.state)\(task.observed.isHealthy ? "" : " unhealthy")"
                )
                noteFailure(index, task)
            }
            services[index].tasks[number] = task
        }
    }

    private mutating func step(_ task: inout SimulatedTask) {
        if task.diedUnseen {
            task.observed.exitCode = 137
            return end(&task, task.observed.isWanted ? .failed : .shutdown)
        }
        if let ending = task.ending {
            if ending.at <= now { end(&task, ending.state) }
            return
        }
        let age = now - task.assignedAt
        if age < task.preparing { return set(&task, .preparing) }
        if case .rejected = task.fate { return end(&task, .rejected) }
        if age < task.preparing + task.starting { return set(&task, .starting) }
        if case .stuck = task.fate { return set(&task, .starting) }
        set(&task, .running)
        let ran = age - task.preparing - task.starting
        switch task.fate {
        case .crash(let after) where ran >= after:
            task.observed.exitCode = 1
            end(&task, .failed)
        case .unhealthy(let after) where ran >= after: task.observed.isHealthy = false
        default: break
        }
    }

    private func isHung(_ task: SimulatedTask) -> Bool {
        guard case .hang(let after) = task.fate, let since = task.observed.runningSince else { return false }
        return clock.nanoseconds(since: since) >= after * 1_000_000
    }

    private func set(_ task: inout SimulatedTask, _ state: TaskState) {
        guard task.observed.state != state else { return }
        task.observed.state = state
        task.observed.stateSince = clock
        if state == .running { task.observed.runningSince = clock }
    }

    mutating func end(_ task: inout SimulatedTask, _ state: TaskState) {
        set(&task, state)
        if let seat = task.seat { scheduler.release(seat) }
        task.seat = nil
        task.ending = nil
    }

    /// Counts for the rollout, as one who watches tasks sees it.
    func isFailure(_ index: Int, _ task: ObservedTask) -> Bool {
        guard let rollout = services[index].rollout, rollout.state.isRolling, task.version == services[index].version,
            task.createdAt >= rollout.startedAt, task.nodeCondition != .down
        else { return false }
        let ran = task.runningSince.map { clock.nanoseconds(since: $0) } ?? 0
        return ran < services[index].update.monitor
    }

    private mutating func noteFailure(_ index: Int, _ task: SimulatedTask) {
        let isBroken = task.observed.state == .failed || task.observed.state == .rejected || !task.observed.isHealthy
        if isBroken, task.observed.isWanted, isFailure(index, task.observed) {
            services[index].failedSlots.insert(task.observed.slot)
        }
    }

    /// Gives nodes to tasks that have none.
    mutating func assign(_ index: Int) {
        let waiting = services[index].tasks.indices.filter {
            services[index].tasks[$0].isActive && services[index].tasks[$0].observed.node == nil
        }
        guard !waiting.isEmpty else { return }
        let service = services[index]
        if service.isGlobal {
            for number in waiting {
                guard case .node(let id) = service.tasks[number].observed.slot,
                    let seat = try? scheduler.place(service.demand, of: service.name, on: id)  // later, then
                else { continue }
                sit(index, number, seat)
            }
        } else {
            let placed = scheduler.place(service.demand, of: service.name, count: waiting.count)
            for (number, seat) in zip(waiting, placed.seats) { sit(index, number, seat) }
            for number in waiting.dropFirst(placed.seats.count) {
                services[index].tasks[number].observed.message = placed.shortfall?.description ?? ""
            }
        }
    }

    private mutating func sit(_ index: Int, _ number: Int, _ seat: Seat) {
        services[index].tasks[number].seat = seat
        services[index].tasks[number].assignedAt = now
        services[index].tasks[number].observed.node = scheduler.node(of: seat)
        services[index].tasks[number].observed.state = .accepted
        services[index].tasks[number].observed.stateSince = clock
        services[index].isChanged = true
    }

    /// Keeps the last few of each slot.
    mutating func forget(_ index: Int) {
        guard services[index].tasks.count > 40 else { return }
        var kept: [Slot: Int] = [:]
        var tasks: [SimulatedTask] = []
        for task in services[index].tasks.reversed() {
            kept[task.observed.slot, default: 0] += 1
            if task.isActive || kept[task.observed.slot] ?? 0 <= 5 { tasks.append(task) }
        }
        services[index].tasks = tasks.reversed()
    }
}
