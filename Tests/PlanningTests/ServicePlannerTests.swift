import Base
import Planning
import Testing

struct ServicePlannerTests {
    private let planner = ServicePlanner()
    private let now = Timestamp(seconds: 1000)
    private let started = Timestamp(seconds: 900)

    private func task(_ slot: Int, version: UInt64 = 1, _ state: TaskState = .running, id: String? = nil)
        -> ObservedTask
    {
        ObservedTask(
            id: id ?? "\(slot)v\(version)", slot: .replica(slot), version: version, state: state, node: "n\(slot % 2)",
            createdAt: started, runningSince: state >= .running ? started : nil)
    }

    private func stops(_ plan: ServicePlan) -> [String] {
        plan.actions.compactMap { if case .stop(let id, _) = $0 { id } else { nil } }
    }

    private func starts(_ plan: ServicePlan) -> [String] {
        plan.actions.compactMap { if case .start(let start) = $0 { "\(start.slot)v\(start.version)" } else { nil } }
    }

    private func fails(_ plan: ServicePlan) -> [String] {
        plan.actions.compactMap { if case .fail(let id, _) = $0 { id } else { nil } }
    }

    @Test func slotsAreFilledAndEmptied() {
        var service = ObservedService(wanted: .replicas(3), version: 1, tasks: [task(2)])
        #expect(starts(planner.plan(service, at: now)) == ["1v1", "3v1"])
        service.wanted = .replicas(2)
        // Nodes: n1, n0, n1, n0. The second of each goes, the highest number first.
        service.tasks = [task(1), task(2), task(3), task(4)]
        #expect(stops(planner.plan(service, at: now)) == ["4v1", "3v1"])
        // What does not serve goes before what does.
        service.tasks[0].state = .starting
        service.tasks[0].stateSince = now
        #expect(stops(planner.plan(service, at: now)) == ["1v1", "4v1"])
        service.tasks = [task(1), task(2)]
        let plan = planner.plan(service, at: now)
        #expect(plan.isSettled && plan.serving == 2 && plan.rollout == nil)
    }

    @Test func nodesGetOneEach() {
        var old = task(1)
        old.slot = .node("a")
        let service = ObservedService(wanted: .nodes(["c", "b"]), version: 1, tasks: [old])
        let plan = planner.plan(service, at: now)
        #expect(stops(plan) == ["1v1"])
        #expect(starts(plan) == ["bv1", "cv1"])
    }

    /// What could run nowhere takes no place from what runs.
    @Test func anImpossibleUpdateStopsNothing() {
        var service = ObservedService(
            wanted: .replicas(2), version: 2, previousVersion: 1, impossibility: "no node has gold",
            tasks: (1...2).map { task($0) })
        let plan = planner.plan(service, at: now)
        #expect(stops(plan).isEmpty && starts(plan).isEmpty && plan.serving == 2)
        #expect(plan.rollout?.message == "update waits: no node has gold" && !plan.notes.isEmpty)
        service.rollout = plan.rollout
        service.impossibility = nil
        #expect(stops(planner.plan(service, at: now)) == ["1v1"])
    }

    @Test func stopFirstStopsThenStarts() {
        var service = ObservedService(
            wanted: .replicas(4), version: 2, previousVersion: 1, update: UpdateConfig(parallelism: 2),
            tasks: (1...4).map { task($0) })
        var plan = planner.plan(service, at: now)
        #expect(plan.rollout?.state == .updating && plan.rollout?.startedAt == now)
        #expect(stops(plan) == ["1v1", "2v1"] && starts(plan) == [])
        service.rollout = plan.rollout
        // Being stopped: nothing to do; ended: their successors.
        for index in 0..<2 { service.tasks[index].isWanted = false }
        plan = planner.plan(service, at: now)
        #expect(plan.actions == [] && plan.serving == 2)
        service.tasks[0].state = .shutdown
        #expect(starts(planner.plan(service, at: now)) == ["1v2"])
        service.tasks[1].state = .shutdown
        #expect(starts(planner.plan(service, at: now)) == ["1v2", "2v2"])
    }

    @Test func startFirstStopsNoneBeforeItsSuccessorServes() {
        var service = ObservedService(
            wanted: .replicas(2), version: 2, previousVersion: 1, update: UpdateConfig(order: .startFirst),
            tasks: (1...2).map { task($0) })
        var plan = planner.plan(service, at: now)
        service.rollout = plan.rollout
        #expect(starts(plan) == ["1v2"] && stops(plan) == [])
        var new = task(1, version: 2, .starting)
        new.createdAt = now
        new.stateSince = now
        service.tasks.append(new)
        plan = planner.plan(service, at: now)
        #expect(plan.actions == [] && plan.serving == 2)
        service.tasks[2].state = .running
        service.tasks[2].runningSince = now
        plan = planner.plan(service, at: now)
        #expect(stops(plan) == ["1v1"] && starts(plan) == ["2v2"])
    }

    @Test func aBatchWaitsForItsDelay() {
        let start = Timestamp(seconds: 990)
        var new = task(1, version: 2)
        new.createdAt = start
        new.runningSince = Timestamp(seconds: 995)
        let service = ObservedService(
            wanted: .replicas(2), version: 2, previousVersion: 1, update: UpdateConfig(delay: 10_000_000_000),
            rollout: RolloutStatus(state: .updating, startedAt: start), tasks: [new, task(2)])
        var plan = planner.plan(service, at: now)
        #expect(plan.actions == [] && plan.wakeAt == Timestamp(seconds: 1005))
        plan = planner.plan(service, at: Timestamp(seconds: 1005))
        #expect(stops(plan) == ["2v1"])
    }

    private func failing(_ action: UpdateConfig.FailureAction, ratio: Double = 0) -> ObservedService {
        let start = Timestamp(seconds: 990)
        var new = task(1, version: 2, .failed)
        new.createdAt = start
        new.runningSince = start
        new.stateSince = now
        new.exitCode = 3
        return ObservedService(
            wanted: .replicas(4), version: 2, previousVersion: 1,
            update: UpdateConfig(failureAction: action, monitor: 20_000_000_000, maximumFailureRatio: ratio),
            rollout: RolloutStatus(state: .updating, startedAt: start), tasks: [new] + (2...4).map { task($0) })
    }

    @Test func aFailureRollsBack() {
        let plan = planner.plan(failing(.rollback), at: now)
        let reason = "1 of 4 tasks failed (slot 1)"
        #expect(plan.actions == [.rollBack(reason: reason)])
        #expect(plan.rollout?.state == .rollbackStarted)
        // What the reconciler does of it: the two specifications change places.
        var service = failing(.rollback)
        (service.version, service.previousVersion) = (1, 2)
        service.rollout = plan.rollout
        let next = planner.plan(service, at: now)
        #expect(starts(next) == ["1v1"] && stops(next) == [])
    }

    @Test func aFailurePausesAndTheBadVersionIsNotSpread() {
        let plan = planner.plan(failing(.pause), at: now)
        #expect(plan.rollout?.state == .paused)
        #expect(plan.rollout?.message == "update paused: 1 of 4 tasks failed (slot 1)")
        var service = failing(.pause)
        service.rollout = plan.rollout
        service.tasks[1].state = .failed
        service.tasks[1].stateSince = now
        #expect(starts(planner.plan(service, at: now)) == ["1v2", "2v1"])
    }

    @Test func someFailuresAreAllowed() {
        #expect(planner.plan(failing(.rollback, ratio: 0.25), at: now).rollout?.state == .updating)
        #expect(planner.plan(failing(.rollback, ratio: 0.24), at: now).rollout?.state == .rollbackStarted)
        #expect(planner.plan(failing(.continue), at: now).rollout?.state == .updating)
    }

    @Test func aRollbackKeepsWhatStillServes() {
        var service = ObservedService(
            wanted: .replicas(1), version: 1, previousVersion: 2,
            rollout: RolloutStatus(state: .rollbackStarted, startedAt: now), tasks: [task(1)])
        var bad = task(1, version: 2, .starting)
        bad.createdAt = now
        service.tasks.append(bad)
        #expect(planner.plan(service, at: now).actions == [.stop(task: "1v2", reason: .updated)])
        service.tasks[1].isWanted = false
        #expect(planner.plan(service, at: now).rollout?.state == .rollbackCompleted)
    }

    @Test func itCompletesWhenAllHaveBeenWatched() {
        let start = Timestamp(seconds: 990)
        var tasks = (1...2).map { task($0, version: 2) }
        for index in tasks.indices {
            tasks[index].createdAt = start
            tasks[index].runningSince = Timestamp(seconds: 998)
        }
        let service = ObservedService(
            wanted: .replicas(2), version: 2, rollout: RolloutStatus(state: .updating, startedAt: start), tasks: tasks)
        let plan = planner.plan(service, at: now)
        #expect(plan.rollout?.state == .updating && plan.wakeAt == Timestamp(seconds: 1003))
        #expect(planner.plan(service, at: Timestamp(seconds: 1003)).rollout?.state == .completed)
    }

    @Test func brokenTasksAreReplaced() {
        var service = ObservedService(wanted: .replicas(3), version: 1, tasks: (1...3).map { task($0) })
        service.tasks[0].isHealthy = false
        service.tasks[1].lastSign = Timestamp(seconds: 980)
        service.tasks[2].nodeCondition = .down
        let plan = planner.plan(service, at: now)
        #expect(fails(plan) == ["1v1", "2v1"])
        #expect(starts(plan) == ["1v1", "2v1", "3v1"])
        #expect(plan.serving == 0)
    }

    /// Its node has no room: a successor would have none, either.
    @Test func aTaskThatStandsStillIsKept() {
        var service = ObservedService(wanted: .replicas(3), version: 1, tasks: (1...3).map { task($0) })
        service.tasks[1].isStalled = true
        service.tasks[1].isHealthy = false
        service.tasks[2].isStalled = true
        service.tasks[2].state = .starting
        service.tasks[2].stateSince = Timestamp(seconds: 1)
        service.tasks[1].message = "no room"
        var plan = planner.plan(service, at: now)
        #expect(plan.actions == [] && plan.serving == 1)
        #expect(plan.notes.first?.text == "running: no room")
        // What a user wants instead takes its place, before those that serve.
        service.version = 2
        plan = planner.plan(service, at: now)
        #expect(plan.actions == [.stop(task: "2v1", reason: .updated)])
        // What ended has ended.
        service.version = 1
        service.tasks[1].state = .failed
        #expect(starts(planner.plan(service, at: now)) == ["2v1"])
    }

    @Test func aDrainedNodesTaskServesUntilItsSuccessorDoes() {
        var service = ObservedService(wanted: .replicas(1), version: 1, tasks: [task(1)])
        service.tasks[0].nodeCondition = .draining
        #expect(starts(planner.plan(service, at: now)) == ["1v1"])
        var next = task(1, .pending, id: "next")
        next.createdAt = now
        next.node = nil
        service.tasks.append(next)
        var plan = planner.plan(service, at: now)
        #expect(plan.actions == [] && plan.wakeAt == Timestamp(seconds: 1060))
        plan = planner.plan(service, at: Timestamp(seconds: 1060))
        #expect(plan.actions == [.stop(task: "1v1", reason: .drained)])
        service.tasks[1].state = .running
        #expect(planner.plan(service, at: now).actions == [.stop(task: "1v1", reason: .replaced)])
    }
}
