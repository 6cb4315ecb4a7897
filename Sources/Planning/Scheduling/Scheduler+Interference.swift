extension Scheduler {
    /// What a task is predicted to lose by its neighbours on its node, 0 to 1; nil when it does not say what it lives on, or
    /// nothing was measured there.
    public func predictedLoss(of seat: Seat) -> Double? {
        let node = Int(seat.node)
        guard let work = demands[seat.demand].work, let interference = descriptions[node]?.interference else {
            return nil
        }
        return interference.loss(of: work, beside: Interference.Counts(groups[node]).without(work.resource))
    }

    /// The predicted losses of all tasks on a node, summed up: 2.5 is as much as two and a half tasks do.
    public func predictedLoss(on id: String) -> Double {
        guard let node = indexes[id], let interference = descriptions[node]?.interference else { return 0 }
        return interference.totalLoss(of: groups[node])
    }

    /// The tasks of a node that say what they live on.
    public func tasks(livingOn resource: Resource, on id: String) -> Int {
        indexes[id].map { Int(Interference.Counts(groups[$0])[resource]) } ?? 0
    }

    /// Lets a task that is there live on something else from now on; it stays where it is.
    public mutating func set(_ profile: Resource?, of seat: Seat) -> Seat {
        var demand = demands[seat.demand].demand
        guard demand.profile != profile, let id = node(of: seat) else { return seat }
        demand.profile = profile
        let service = services[seat.service].name
        release(seat)
        return occupy(demand, of: service, on: id, machine: seat.machine) ?? seat
    }

    /// What one more such task adds to the losses on a node, in steps of 2 %: below that the lab calls nothing a difference, and
    /// the node's load decides.
    func loss(of work: Interference.Work, on node: Int) -> UInt64 {
        guard let interference = descriptions[node]?.interference else { return 0 }
        return UInt64(min(8191, (interference.addedLoss(of: work, to: groups[node]) * 50).rounded()))
    }

    mutating func count(_ work: Interference.Work, _ tasks: Int32, _ node: Int) {
        if let index = groups[node].firstIndex(where: { $0.work == work }) {
            groups[node][index].count += tasks
            if groups[node][index].count == 0 { groups[node].remove(at: index) }
        } else {
            let index = groups[node].firstIndex { $0.work.number > work.number } ?? groups[node].count
            groups[node].insert(.init(work: work, count: tasks), at: index)
        }
    }
}
