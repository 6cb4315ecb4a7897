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
    let tasks: ArraySlice<ObservedTask>

    private init(_ slot: Slot, _ tasks: ArraySlice<ObservedTask>, _ patience: Patience, _ now: Timestamp) {
        self.slot = slot
        self.tasks = tasks
        newest = tasks.last { $0.isWanted }
        condition = newest?.condition(at: now, patience) ?? .stopped
        for task in tasks where task.isActive && task.id != newest?.id {
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
        // Slices of one sorted array: a dictionary of arrays takes several times as long.
        let sorted = tasks.sorted { ($0.slot, $0.createdAt, $0.id) < ($1.slot, $1.createdAt, $1.id) }
        var views: [SlotView] = []
        views.reserveCapacity(sorted.count)
        var first = 0
        for next in sorted.indices {
            let end = next + 1
            guard end == sorted.count || sorted[end].slot != sorted[next].slot else { continue }
            views.append(SlotView(sorted[next].slot, sorted[first..<end], patience, now))
            first = end
        }
        return views
    }
}
