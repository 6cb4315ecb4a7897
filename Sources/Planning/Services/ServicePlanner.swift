public import Base

/// Decides what a service's tasks need: how many, of which version, which are replaced, when. Scaling, healing and rollouts are
/// one function of what is there, so that they cannot contradict each other, and a new daemon goes on where the old one was.
///
///     tasks, specification, clock ──▶ plan ──▶ start · stop · fail · roll back, and when to ask again
///
/// What it guarantees, whatever the tasks do:
/// - A rollout stops a serving task only while fewer than `parallelism` slots do not serve, slots not counted whose new task has
///   failed in it (of which `maximumFailureRatio` allows so many).
/// - With `start-first` it stops none before its successor serves.
/// - A plan that is carried out leads to a service that is settled, unless its tasks go on to fail.
public struct ServicePlanner: Sendable, Hashable {
    public var restarts: RestartPlanner
    public var patience: Patience

    public init(restarts: RestartPlanner = RestartPlanner(), patience: Patience = Patience()) {
        self.restarts = restarts
        self.patience = patience
    }

    /// The plan for the service at this time.
    public func plan(_ service: ObservedService, at now: Timestamp) -> ServicePlan {
        var pass = ServicePass(service, restarts, patience, now)
        pass.beginRollout()
        pass.scale()
        if pass.roll() { pass.heal() }
        pass.finishRollout()
        return pass.plan
    }
}
