import Base
import Planning
import TestSupport

extension Simulation {
    func observed(_ index: Int) -> ObservedService {
        let service = services[index]
        let wanted: ObservedService.Wanted =
            service.isGlobal
            ? .nodes(scheduler.nodes(for: service.demand, of: service.name)) : .replicas(service.replicas)
        return ObservedService(
            wanted: wanted, version: service.version, previousVersion: service.previousVersion, update: service.update,
            rollback: service.update.withoutRollback, rollout: service.rollout, tasks: service.tasks.map(\.observed))
    }

    /// Plans when something has happened or it is time, as a reconciler does, and carries the plan out.
    mutating func reconcile(_ index: Int) {
        let isDue = services[index].isChanged || services[index].wakeAt.map { $0 <= clock } ?? false
        guard isDue || random.below(20) == 0 else { return }
        let service = observed(index)
        let plan = planner.plan(service, at: clock)
        if !isDue, !plan.actions.isEmpty || plan.rollout != service.rollout {
            return violate("\(services[index].name) had something to do earlier than it said: \(plan)")
        }
        services[index].isChanged = false
        services[index].wakeAt = plan.wakeAt
        check(index, service, plan)
        if plan.rollout?.startedAt != service.rollout?.startedAt || plan.rollout?.state.isRolling != true {
            services[index].failedSlots = []
        }
        if let rollout = plan.rollout, rollout != service.rollout {
            log("\(services[index].name): \(rollout.state) \(rollout.message)")
        }
        // The daemon may die at any action, the first included.
        let survived = isStormy && random.below(30) == 0 ? random.below(plan.actions.count + 1) : plan.actions.count
        if survived < plan.actions.count {
            log("the daemon dies after \(survived) of \(plan.actions.count) actions")
            services[index].isChanged = true
        }
        if plan.actions.contains(where: { if case .rollBack = $0 { true } else { false } }) {
            guard survived == plan.actions.count else { return }
            (services[index].version, services[index].previousVersion) = (
                services[index].previousVersion ?? services[index].version, services[index].version
            )
            services[index].isChanged = true
        }
        services[index].rollout = plan.rollout
        for action in plan.actions.prefix(survived) { carryOut(action, index) }
    }

    private mutating func carryOut(_ action: ServicePlan.Action, _ index: Int) {
        switch action {
        case .rollBack: break
        case .start(let start):
            taskCount += 1
            services[index].starts[start.slot, default: []].append(now)
            let observed = ObservedTask(
                id: "t\(taskCount)", slot: start.slot, version: start.version, createdAt: clock, history: start.history)
            log(
                "\(services[index].name): start \(observed.id) in \(start.slot), version \(start.version): \(start.reason)"
            )
            services[index].tasks.append(
                SimulatedTask(
                    observed: observed, fate: fate(services[index], start.version),
                    preparing: Int64(random.below(4) * 100), starting: Int64(100 + random.below(20) * 100)))
            services[index].isChanged = true
        case .stop(let id, let reason):
            change(id, index) { simulation, task in
                simulation.log("stop \(id): \(reason)")
                task.observed.isWanted = false
                guard task.isActive else { return }
                if task.observed.node == nil { return simulation.end(&task, .shutdown) }
                task.ending = (simulation.now + Int64(simulation.random.below(20) * 100), .shutdown)
            }
        case .fail(let id, let fault):
            change(id, index) { simulation, task in
                guard task.isActive, task.ending == nil else { return }
                simulation.log("fail \(id): \(fault)")
                task.ending = (simulation.now + Int64(simulation.random.below(20) * 100), .failed)
            }
        }
    }

    private mutating func change(_ id: String, _ index: Int, _ body: (inout Simulation, inout SimulatedTask) -> Void) {
        guard let number = services[index].tasks.firstIndex(where: { $0.observed.id == id }) else {
            return violate("a plan names \(id), which does not exist")
        }
        var task = services[index].tasks[number]
        if task.isActive, case .broken(let fault) = task.observed.condition(at: clock, planner.patience), fault.isOwn,
            isFailure(index, task.observed)
        {
            services[index].failedSlots.insert(task.observed.slot)
        }
        body(&self, &task)
        services[index].tasks[number] = task
        services[index].isChanged = true
    }
}

extension UpdateConfig {
    /// A rollback is not rolled back.
    var withoutRollback: UpdateConfig {
        var config = self
        if config.failureAction == .rollback { config.failureAction = .pause }
        return config
    }
}
