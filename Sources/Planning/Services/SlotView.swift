import Base

/// The tasks of a slot, sorted by their parts. Usually one; two while one takes over from the other.
struct SlotView {
    let slot: Slot
    /// The last one that is wanted, active or ended; nil: the slot is vacant.
    var newest: ObservedTask?
    /// Of `newest`; `.stopped` when there is none.
    var condition: ObservedTask.Condition = .stopped
    /// Wanted ones before it that are still active: they serve on until it does.
    var superseded: [ObservedTask] = []
    /// Told to stop, and still active.
    var stopping: [ObservedTask] = []
    /// All, oldest first.
    let tasks: [ObservedTask]

    init(_ slot: Slot, _ tasks: [ObservedTask], _ patience: Patience, _ now: Timestamp) {
        self.slot = slot
        self.tasks = tasks.sorted { ($0.createdAt, $0.id) < ($1.createdAt, $1.id) }
        newest = self.tasks.last { $0.isWanted }
        condition = newest?.condition(at: now, patience) ?? .stopped
        for task in self.tasks where task.isActive && task.id != newest?.id {
            if task.isWanted { superseded.append(task) } else { stopping.append(task) }
        }
    }

    var isServing: Bool { if case .serving = condition { true } else { false } }

    func serves(at now: Timestamp, _ patience: Patience) -> Bool {
        isServing
            || superseded.contains { if case .serving = $0.condition(at: now, patience) { true } else { false } }
    }

    /// What is wrong with the newest; nil when it is on its way, serves or completed.
    var fault: Fault? { if case .broken(let fault) = condition { fault } else { nil } }

    /// Every slot that has tasks, in order.
    static func all(of tasks: [ObservedTask], _ patience: Patience, _ now: Timestamp) -> [SlotView] {
        Dictionary(grouping: tasks, by: \.slot).map { SlotView($0.key, $0.value, patience, now) }
            .sorted { $0.slot < $1.slot }
    }
}
