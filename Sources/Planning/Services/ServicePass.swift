import Base

/// One run of `ServicePlanner`.
struct ServicePass {
    let service: ObservedService
    let restarts: RestartPlanner
    let patience: Patience
    let now: Timestamp
    /// Those that stay, in order; vacant ones are not among them.
    var slots: [SlotView]
    /// Slots that shall have a task and have none, those included for which one is started now.
    var vacancies = 0
    /// Slots that are taken away now.
    var removed: Set<Slot> = []
    /// Slots that the rollout takes in hand now.
    var picked: Set<Slot> = []
    /// Slots that get no more tasks by themselves.
    var settled: Set<Slot> = []
    var plan = ServicePlan()

    init(_ service: ObservedService, _ restarts: RestartPlanner, _ patience: Patience, _ now: Timestamp) {
        self.service = service
        self.restarts = restarts
        self.patience = patience
        self.now = now
        slots = SlotView.all(of: service.tasks, patience, now)
        plan.rollout = service.rollout
    }

    var isRolling: Bool { plan.rollout?.state.isRolling ?? false }
    var isPaused: Bool { plan.rollout?.state.isPaused ?? false }
    var config: UpdateConfig { plan.rollout?.state.isRollback == true ? service.rollback : service.update }

    func isDirty(_ view: SlotView) -> Bool { view.newest.map { $0.version != service.version } ?? false }

    mutating func start(_ slot: Slot, _ version: UInt64, _ history: RestartHistory, _ reason: String) {
        plan.actions.append(.start(.init(slot: slot, version: version, history: history, reason: reason)))
    }

    mutating func stop(_ task: ObservedTask, _ reason: ServicePlan.StopReason) {
        plan.actions.append(.stop(task: task.id, reason: reason))
    }

    mutating func note(_ slot: Slot, _ text: String) { plan.notes.append(.init(slot: slot, text: text)) }

    /// The version of a task that takes the place of one of `version` without being part of a rollout's progress.
    ///
    /// A paused rollout's version has failed: it is not spread further by tasks that happen to need a successor.
    func successor(of version: UInt64) -> UInt64 {
        switch plan.rollout?.state {
        case .paused: version == service.version ? version : service.previousVersion ?? service.version
        case .updating: version == service.previousVersion ? version : service.version
        default: service.version
        }
    }
}
