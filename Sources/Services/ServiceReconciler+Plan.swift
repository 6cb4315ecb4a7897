import Base
import Kernel
import Planning

extension ServiceReconciler {
    /// Asks the planner what the tasks need, and writes it down; the steps that follow carry it out.
    func plan(_ node: NodeRecord) async {
        let now = SystemClock.now()
        let observed = await observed(node)
        let patience = patience
        let jobPlanner = JobPlanner(patience: patience)
        let plan =
            switch service.spec.mode {
            case .replicatedJob(let concurrent, _): jobPlanner.plan(observed, maximumConcurrent: concurrent, at: now)
            case .globalJob: jobPlanner.plan(observed, maximumConcurrent: .max, at: now)
            case .replicated, .global: ServicePlanner(patience: patience).plan(observed, at: now)
            }
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
            case .start(let start):
                note("slot \(start.slot): a task is started: \(start.reason)")
                await begin(start, node)
            case .stop(let task, let reason):
                note("task \(name(task)) is stopped: \(reason.text)")
                await tell(task, reason == .scaledDown ? .remove : .shutdown)
            case .fail(let task, let fault):
                if faults[task] == nil { note("task \(name(task)) is broken: \(fault)") }
                faults[task] = fault
            case .rollBack: break
            }
        }
    }

    /// A task gets as long to become healthy as its health check may take to give up.
    private var patience: Patience {
        var patience = Patience()
        // With one node there is nowhere to move to.
        patience.draining = 0
        let check = service.spec.task.healthcheck
        func nanoseconds(_ key: String, _ standard: Int64) -> Int64 {
            check[key].int.flatMap { $0 > 0 ? min($0, 86_400_000_000_000) : nil } ?? standard
        }
        let round = nanoseconds("Interval", 30_000_000_000) + nanoseconds("Timeout", 30_000_000_000)
        let rounds = 1 + min(1000, check["Retries"].int.flatMap { $0 > 0 ? $0 : nil } ?? 3)
        patience.starting = max(patience.starting, nanoseconds("StartPeriod", 0) + round * rounds)
        return patience
    }

    private func observed(_ node: NodeRecord) async -> ObservedService {
        let wanted: ObservedService.Wanted =
            switch service.spec.mode {
            case .replicated(let count): .replicas(count)
            case .replicatedJob(_, let total): .replicas(total)
            case .global, .globalJob: .nodes(await cluster.nodes(for: service))
            }
        let isJob = service.spec.mode.isJob
        return ObservedService(
            wanted: wanted, version: isJob ? UInt64(clamping: service.jobIteration) : service.templateVersion,
            previousVersion: service.previous == nil ? nil : service.previousTemplateVersion,
            update: service.spec.update, rollback: service.spec.rollback, restart: service.spec.task.restart,
            rollout: service.rollout, impossibility: await cluster.impossibility(of: service),
            tasks: tasks.values.map { observed($0, node) })
    }

    private func observed(_ task: TaskRecord, _ node: NodeRecord) -> ObservedTask {
        ObservedTask(
            id: task.id, slot: task.slot == 0 ? .node(task.nodeID) : .replica(task.slot),
            version: task.isJob ? UInt64(clamping: task.jobIteration) : task.templateVersion, state: task.state,
            isWanted: !task.isTold,
            node: task.nodeID.isEmpty ? nil : task.nodeID,
            nodeCondition: node.availability == .drain && !task.nodeID.isEmpty ? .draining : .ready,
            isHealthy: task.isHealthy, isStalled: task.isStalled, createdAt: task.created, stateSince: task.stateTime,
            runningSince: task.runningSince,
            exitCode: task.containerID.isEmpty ? nil : Int(task.exitCode), message: task.obstacle, history: task.history
        )
    }

    private func begin(_ start: ServicePlan.Start, _ node: NodeRecord) async {
        let isPrevious = !service.spec.mode.isJob && start.version != service.templateVersion
        let spec = isPrevious ? service.previous?.task ?? service.spec.task : service.spec.task
        var slot = 0
        if case .replica(let number) = start.slot { slot = number }
        counts.started += 1
        let before = tasks.values.filter { $0.slot == slot }.max { $0.created < $1.created }
        if let before, !before.isTold, !before.state.isActive || faults[before.id] != nil { counts.restarted += 1 }
        // Those before it in its slot have ended, or end when it serves.
        for task in tasks.values where task.slot == slot && !task.state.isActive { await want(task.id, .shutdown) }
        await add(
            TaskRecord(
                service: service, slot: slot, nodeID: slot == 0 ? node.id : "", spec: spec,
                templateVersion: isPrevious ? start.version : service.templateVersion, history: start.history,
                counter: context.counter))
        // The next look gives it a node.
        ring()
    }

    private func rollBack(_ rollout: RolloutStatus?) async {
        guard let previous = service.previous else { return }
        var changed = service
        // As Docker: there is no way back to what has failed.
        changed.previous = nil
        changed.spec = previous
        changed.templateVersion = service.previousTemplateVersion
        changed.previousTemplateVersion = service.templateVersion
        changed.rollout = rollout
        note(rollout?.message ?? "rolled back")
        changed.version.advance(context.counter)
        await keep(changed)
        ring()
    }

    private func keep(_ changed: ServiceRecord) async {
        do {
            try await replace(changed)
        } catch {
            context.log.error("cannot record the update of a service", ["service": service.name, "error": "\(error)"])
        }
    }

    /// Gives tasks that have none a node, or says why not.
    func assign() async {
        let homeless = tasks.values.filter { $0.isWanted && $0.state <= .pending }
        guard !homeless.isEmpty else { return }
        for (id, place) in await cluster.place(homeless, of: service) {
            switch place {
            case .success(let node):
                await change(id) {
                    $0.nodeID = node
                    $0.enter(.assigned, "scheduler assigned task to node")
                }
            case .failure(let reason):
                if tasks[id]?.error != reason.message { note("task \(name(id)): \(reason)") }
                await change(id) { $0.enter(.pending, "pending task scheduling", error: reason.message) }
            }
        }
    }

    func name(_ id: String) -> String {
        guard let task = tasks[id] else { return id }
        return "\(task.slot == 0 ? task.nodeID : "\(task.slot)").\(id.prefix(12))"
    }
}

extension ServicePlan.StopReason {
    fileprivate var text: String {
        switch self {
        case .updated: "a task of another specification takes its place"
        case .scaledDown: "fewer tasks are wanted"
        case .replaced: "its successor serves"
        case .drained: "its node is drained"
        }
    }
}

extension ServicePlan.Action {
    fileprivate var rollsBack: Bool { if case .rollBack = self { true } else { false } }
}
