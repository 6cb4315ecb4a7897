import Planning
import Testing

struct TaskStateTests {
    @Test func orderIsThatOfALife() {
        #expect(TaskState.new < .running)
        #expect(TaskState.running < .failed)
        #expect(TaskState.allCases == TaskState.allCases.sorted())
    }

    @Test func endedOnesHoldNothing() {
        #expect(
            TaskState.allCases.filter { !$0.isActive } == [
                .complete, .shutdown, .failed, .rejected, .remove, .orphaned,
            ])
    }
}
