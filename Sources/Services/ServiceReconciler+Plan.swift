import Base
import Kernel
import Planning

extension ServiceReconciler {
    /// Asks the planner what the tasks need, and writes it down; the steps that follow carry it out.
    func plan(_ node: NodeRecord) async {
        let now = SystemClock.now()
        let plan = planner.plan(observed(node), at: now)
        notes = plan.notes
        if let time = plan.wakeAt {
            wake(at: SystemClock.monotonicNanoseconds() + max(0, time.nanoseconds(since: now)))
        }
        if plan.actions.contains(where: \.rollsBack) { return await rollBack(plan.rollout) }
        if plan.rollout != service.rollout {
            var changed = service
            changed.rollout = plan.rollout
            await keep(changed)
        }
        for action in plan.actions {
            switch action {
            case .start(let start): await begin(start, node)
            case .stop(let task, let reason): await tell(task, reason == .scaledDown ? .remove : .shutdown)
            case .fail(let task, let fault): faults[task] = fault
            case .rollBack: break
            }
        }
    }

    private func observed(_ node: NodeRecord) -> ObservedService {
        let isEligible = node.availability == .active
        let wanted: ObservedService.Wanted =
            switch service.spec.mode {
            case .replicated(let count): .replicas(count)
            case .global: .nodes(isEligible ? [node.id] : [])
            case .replicatedJob, .globalJob: .replicas(0)
            }
        return ObservedService(
            wanted: wanted, version: service.templateVersion,
            previousVersion: service.previous == nil ? nil : service.previousTemplateVersion,
            update: service.spec.update, rollback: service.spec.rollback, restart: service.spec.task.restart,
            rollout: service.rollout, tasks: tasks.values.map { observed($0, node) })
    }

    private func observed(_ task: TaskRecord, _ node: NodeRecord) -> ObservedTask {
        ObservedTask(
            id: task.id, slot: task.slot == 0 ? .node(task.nodeID) : .replica(task.slot),
            version: task.templateVersion, state: task.state, isWanted: !task.isTold,
            node: task.nodeID.isEmpty ? nil : task.nodeID,
            nodeCondition: node.availability == .drain && !task.nodeID.isEmpty ? .draining : .ready,
            isHealthy: task.isHealthy, createdAt: task.created, stateSince: task.stateTime,
            runningSince: task.runningSince,
            exitCode: task.containerID.isEmpty ? nil : Int(task.exitCode), message: task.error, history: task.history)
    }

    private func begin(_ start: ServicePlan.Start, _ node: NodeRecord) async {
        let isPrevious = start.version != service.templateVersion
        let spec = isPrevious ? service.previous?.task ?? service.spec.task : service.spec.task
        var slot = 0
        if case .replica(let number) = start.slot { slot = number }
        // Those before it in its slot have ended, or end when it serves.
        for task in tasks.values where task.slot == slot && !task.state.isActive { await want(task.id, .shutdown) }
        await add(
            TaskRecord(
                service: service, slot: slot, nodeID: slot == 0 ? node.id : "", spec: spec,
                templateVersion: start.version, history: start.history, counter: context.counter))
        // The next look gives it a node.
        ring()
    }

    private func rollBack(_ rollout: RolloutStatus?) async {
        guard let previous = service.previous else { return }
        var changed = service
        changed.previous = service.spec
        changed.spec = previous
        changed.templateVersion = service.previousTemplateVersion
        changed.previousTemplateVersion = service.templateVersion
        changed.rollout = rollout
        changed.version.advance(context.counter)
        await keep(changed)
        ring()
    }

    private func keep(_ changed: ServiceRecord) async {
        do {
            try await replace(changed)
        } catch { context.log.error("cannot record the update of service \(service.name): \(error)") }
    }

    /// Gives tasks that have none a node, or says why not.
    func assign(_ node: NodeRecord) async {
        for task in tasks.values where task.isWanted && task.state <= .pending {
            if node.availability == .active {
                await change(task.id) {
                    $0.nodeID = node.id
                    $0.enter(.assigned, "scheduler assigned task to node")
                }
            } else {
                await change(task.id) {
                    $0.enter(
                        .pending, "pending task scheduling",
                        error: "no suitable node (1 node not available for new tasks)")
                }
            }
        }
    }
}

extension ServicePlan.Action {
    fileprivate var rollsBack: Bool { if case .rollBack = self { true } else { false } }
}
