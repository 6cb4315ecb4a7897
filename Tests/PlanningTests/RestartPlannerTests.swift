import Base
import Planning
import Testing

struct RestartPlannerTests {
    private let planner = RestartPlanner()
    private let now = Timestamp(seconds: 1000)

    /// A task that ended just now, after it ran for so long.
    private func ended(after seconds: Double, _ history: RestartHistory = RestartHistory()) -> ObservedTask {
        ObservedTask(
            id: "t", slot: .replica(1), version: 1, state: .failed, createdAt: Timestamp(seconds: 0), stateSince: now,
            runningSince: now.advanced(by: -Int64(seconds * 1e9)), exitCode: 1, history: history)
    }

    private let crash = Fault.exit(code: 1, message: "")

    @Test func aCrashIsReplacedAtOnce() {
        let decision = planner.decide(TaskRestartPolicy(), after: crash, of: ended(after: 60), at: now)
        #expect(decision == .now(RestartHistory(restarts: 1, windowBegan: now), reason: "exit code 1"))
    }

    @Test func aCrashLoopWaitsLongerAndLonger() {
        var history = RestartHistory()
        var waits: [Int64] = []
        var at = now
        for _ in 0..<14 {
            var task = ended(after: 0.5, history)
            task.stateSince = at
            task.runningSince = at.advanced(by: -500_000_000)
            guard case .at(let due, _) = planner.decide(TaskRestartPolicy(), after: crash, of: task, at: at) else {
                Issue.record("a short life was replaced at once")
                return
            }
            waits.append(due.nanoseconds(since: at) / 1_000_000)
            guard case .now(let next, _) = planner.decide(TaskRestartPolicy(), after: crash, of: task, at: due) else {
                Issue.record("not due when it said")
                return
            }
            history = next
            at = due
        }
        #expect(waits == [100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600, 51200, 60000, 60000, 60000, 60000])
        // One that lasts ends the loop.
        let decision = planner.decide(TaskRestartPolicy(), after: crash, of: ended(after: 11, history), at: now)
        guard case .now(let next, let reason) = decision else {
            Issue.record("\(decision)")
            return
        }
        #expect(next.shortLives == 0 && reason == "exit code 1")
    }

    @Test func aLoopIsCalledOne() {
        let texts = (0..<4).map { lives -> String in
            let task = ended(after: 1, RestartHistory(shortLives: lives))
            guard case .at(_, let reason) = planner.decide(TaskRestartPolicy(), after: crash, of: task, at: now) else {
                return ""
            }
            return reason
        }
        #expect(
            texts == [
                "exit code 1", "exit code 1", "crash loop: 3 short lives in a row; exit code 1",
                "crash loop: 4 short lives in a row; exit code 1",
            ])
    }

    @Test func conditionsDecideWhatIsStartedAgain() {
        func decide(_ condition: TaskRestartPolicy.Condition, _ fault: Fault?) -> String {
            switch planner.decide(TaskRestartPolicy(condition: condition), after: fault, of: ended(after: 60), at: now)
            {
            case .now: "now"
            case .at: "later"
            case .never(let reason): reason
            }
        }
        #expect(decide(.any, nil) == "now")
        #expect(decide(.onFailure, nil) == "completed")
        #expect(decide(.onFailure, .unhealthy) == "now")
        #expect(decide(.none, crash) == "exit code 1; its restart condition is none")
        // A node that is gone is no end of the task.
        #expect(decide(.none, .nodeDown) == "now")
        #expect(decide(.none, .lost(message: "")) == "now")
    }

    @Test func attemptsCountWithinTheirWindow() {
        let policy = TaskRestartPolicy(maximumAttempts: 2, window: 60_000_000_000)
        let began = now.advanced(by: -30_000_000_000)
        let task = ended(after: 20, RestartHistory(restarts: 2, windowBegan: began))
        guard case .never(let reason) = planner.decide(policy, after: crash, of: task, at: now) else {
            Issue.record("a third attempt within the window")
            return
        }
        #expect(reason == "exit code 1; given up after 2 restarts")
        let old = ended(after: 20, RestartHistory(restarts: 2, windowBegan: now.advanced(by: -60_000_000_000)))
        #expect(
            planner.decide(policy, after: crash, of: old, at: now)
                == .now(RestartHistory(restarts: 1, windowBegan: now), reason: "exit code 1"))
    }

    @Test func theUsersDelayIsKept() {
        let policy = TaskRestartPolicy(delay: 5_000_000_000)
        guard case .at(let due, _) = planner.decide(policy, after: crash, of: ended(after: 60), at: now) else {
            Issue.record("at once")
            return
        }
        #expect(due == now.advanced(by: 5_000_000_000))
    }
}
