import Base
import Planning
import Testing

struct JobPlannerTests {
    private let start = Timestamp(seconds: 1_000_000)

    private func task(_ slot: Int, _ state: TaskState, version: UInt64 = 0, exitCode: Int? = nil) -> ObservedTask {
        ObservedTask(
            id: "t\(slot)\(state)", slot: .replica(slot), version: version, state: state, createdAt: start,
            exitCode: exitCode)
    }

    private func plan(
        _ tasks: [ObservedTask], total: Int = 5, concurrent: Int = 2, version: UInt64 = 0,
        restart: TaskRestartPolicy = TaskRestartPolicy(), after seconds: Int64 = 0
    ) -> ServicePlan {
        JobPlanner().plan(
            ObservedService(wanted: .replicas(total), version: version, restart: restart, tasks: tasks),
            maximumConcurrent: concurrent, at: start.advanced(by: seconds * 1_000_000_000))
    }

    private func started(_ plan: ServicePlan) -> [Slot] {
        plan.actions.compactMap { if case .start(let start) = $0 { start.slot } else { nil } }
    }

    @Test func asManyAtATimeAsAllowed() {
        #expect(started(plan([])) == [.replica(1), .replica(2)])
        #expect(started(plan([task(1, .running), task(2, .complete)])) == [.replica(3)])
        #expect(started(plan([task(1, .running), task(2, .starting)])) == [])
    }

    @Test func completedOnesAreDone() {
        let done = plan((1...5).map { task($0, .complete) })
        #expect(done.isSettled)
    }

    @Test func failedOnesAreTriedAgainByThePolicy() {
        let failed = [task(1, .failed, exitCode: 1)]
        // A short life: not at once.
        let early = plan(failed, total: 1)
        #expect(started(early) == [])
        #expect(early.wakeAt != nil)
        #expect(started(plan(failed, total: 1, after: 1)) == [.replica(1)])
        let never = plan(failed, total: 1, restart: TaskRestartPolicy(condition: .some(.none)), after: 1)
        #expect(started(never) == [])
        #expect(never.notes.count == 1)
    }

    @Test func aNewIterationBeginsAnew() {
        let again = plan([task(1, .complete), task(2, .running)], total: 2, version: 1)
        #expect(started(again) == [.replica(1), .replica(2)])
        #expect(again.actions.contains(.stop(task: "t2running", reason: .updated)))
    }

    /// Whatever ends when, never are more active than allowed, and in the end all have completed.
    @Test(arguments: 0..<50)
    func runsToItsEnd(_ seed: Int) {
        var random = SystemRandomNumberGenerator()
        let (total, concurrent) = (1 + seed % 7, 1 + seed % 3)
        var tasks: [ObservedTask] = []
        var now = start
        for step in 0..<2000 {
            let plan = JobPlanner().plan(
                ObservedService(wanted: .replicas(total), version: 0, tasks: tasks), maximumConcurrent: concurrent,
                at: now)
            for action in plan.actions {
                guard case .start(let begun) = action else { continue }
                tasks.append(
                    ObservedTask(
                        id: "\(step)-\(begun.slot)", slot: begun.slot, version: 0, state: .running, createdAt: now,
                        runningSince: now, history: begun.history))
            }
            #expect(tasks.count { $0.state.isActive } <= concurrent)
            if plan.isSettled, !tasks.contains(where: { $0.state.isActive }) { break }
            now = now.advanced(by: 500_000_000)
            for index in tasks.indices where tasks[index].state == .running && Bool.random(using: &random) {
                let fails = Int.random(in: 0..<4, using: &random) == 0
                tasks[index].state = fails ? .failed : .complete
                tasks[index].exitCode = fails ? 1 : 0
                tasks[index].stateSince = now
            }
        }
        #expect(Set(tasks.filter { $0.state == .complete }.map(\.slot)).count == total)
        #expect(tasks.count { $0.state == .complete } == total)
    }
}
