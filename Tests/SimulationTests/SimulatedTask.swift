import Base
import Planning

/// A task of the simulated cluster: what planners see of it, and what is going to happen to it.
struct SimulatedTask {
    /// What happens to a task by itself, so many milliseconds after it runs.
    enum Fate {
        case fine, rejected
        case crash(after: Int64)
        case unhealthy(after: Int64)
        case hang(after: Int64)
        /// It never becomes ready.
        case stuck
    }

    var observed: ObservedTask
    let fate: Fate
    var seat: Seat?
    /// Milliseconds it takes to be made, and to become ready.
    let preparing: Int64
    let starting: Int64
    /// When it was given its node.
    var assignedAt: Int64 = 0
    /// It is being stopped until then, and is in this state afterwards.
    var ending: (at: Int64, state: TaskState)?
    /// Its process ended while its node was away; the node tells when it is back.
    var diedUnseen = false

    var isActive: Bool { observed.state.isActive }
}

struct SimulatedNode {
    var description: NodeDescription
    var returnsAt: Int64?
    var undrainsAt: Int64?
}

/// A service of the simulated cluster, with what a store would hold of it.
struct SimulatedService {
    let name: String
    let demand: Demand
    var isGlobal = false
    var replicas: Int
    var version: UInt64 = 1
    var previousVersion: UInt64?
    var badVersions: Set<UInt64> = []
    let update: UpdateConfig
    var rollout: RolloutStatus?
    var tasks: [SimulatedTask] = []
    let hasSigns: Bool

    /// Something has happened since the last plan.
    var isChanged = true
    var wakeAt: Timestamp?
    /// Slots in which a new task has failed since the rollout began: counted from what happened, not by the planner.
    var failedSlots: Set<Slot> = []
    /// Times of starts by slot, for the back-off.
    var starts: [Slot: [Int64]] = [:]

}
