/// Where tasks have got, and what is said of those that have not.
public struct Placed: Sendable {
    /// One for each task that has a place.
    public var seats: [Seat] = []
    public var shortfall: Shortfall?
}

extension Scheduler {
    /// Places tasks of a service, as many as possible.
    ///
    /// - Parameter avoiding: nodes that are taken only when no other fits: those where tasks of the service have just failed.
    public mutating func place(_ demand: Demand, of service: String, count: Int = 1, avoiding: [String] = []) -> Placed
    {
        var placed = Placed()
        let (serviceIndex, demandIndex) = (enter(service), enter(demand))
        defer { leave(serviceIndex, demandIndex) }
        let view = view(for: demand)
        lay(demand, serviceIndex, avoiding, over: view)
        let isExclusive = !demand.hostPorts.isEmpty || demand.keepsAwayFrom.contains(service)
        placed.seats.reserveCapacity(max(0, count))
        while placed.seats.count < count, let node = choose(demand, view) {
            placed.seats.append(take(demand, demandIndex, serviceIndex, node))
            scratch.own[node] += 1
            views[view].count(node, 1)
            if isExclusive { scratch.mark(node, Scratch.blocked) }
            if demand.tenancy != nil { markMachine(demand, node) }
            scratch.mark(node, 0)
            views[view].set(node, entry(node, demand, view))
        }
        lift(from: view)
        if placed.seats.count < count {
            placed.shortfall = shortfall(of: demand, serviceIndex, count - placed.seats.count)
        }
        return placed
    }

    /// Places a task on one node: of a service that has one on each.
    ///
    /// - Throws: what stands against it.
    public mutating func place(_ demand: Demand, of service: String, on id: String) throws(Obstacle) -> Seat {
        guard let node = indexes[id] else { throw .down }
        let (serviceIndex, demandIndex) = (enter(service), enter(demand))
        defer { leave(serviceIndex, demandIndex) }
        if let obstacle = obstacle(demand, serviceIndex, node, blocks(demand, serviceIndex)) { throw obstacle }
        return take(demand, demandIndex, serviceIndex, node)
    }

    /// Nodes on which a service that has a task on each wants one, in order: they fulfil what does not change from hour to
    /// hour. A paused node keeps the task it has.
    public func nodes(for demand: Demand, of service: String) -> [String] {
        let key = ViewKey(demand)
        return descriptions.compactMap { node -> String? in
            guard let node, node.isReady, key.obstacle(node) == nil else { return nil }
            let stays =
                node.availability == .active || (node.availability == .pause && tasks(of: service, on: node.id) > 0)
            return stays ? node.id : nil
        }.sorted()
    }

    // MARK: The call's own view

    /// Lays over the view what differs for this service: its own tasks, ports, neighbours, VMs. Costs as many changes as nodes
    /// are concerned, not as there are nodes.
    private mutating func lay(_ demand: Demand, _ service: Int32, _ avoiding: [String], over view: Int) {
        for (node, count) in services[service].nodes {
            scratch.own[Int(node)] = count
            scratch.mark(Int(node), 0)
            views[view].count(Int(node), Int(count))
        }
        for (node, _) in blocks(demand, service) { scratch.mark(Int(node), Scratch.blocked) }
        for id in avoiding { if let node = indexes[id] { scratch.mark(node, Scratch.avoided) } }
        if let tenancy = demand.tenancy, let places = machines[tenancy.tenant] {
            for node in places.keys { markMachine(demand, Int(node)) }
        }
        for node in scratch.touched { views[view].set(Int(node), entry(Int(node), demand, view)) }
    }

    private mutating func markMachine(_ demand: Demand, _ node: Int) {
        guard let tenancy = demand.tenancy, let counts = machines[tenancy.tenant]?[Int32(node)] else { return }
        scratch.mark(node, 0)
        let hasRoom = counts.contains { $0 > 0 && $0 < tenancy.places }
        scratch.flags[node] =
            hasRoom ? scratch.flags[node] | Scratch.hasMachine : scratch.flags[node] & ~Scratch.hasMachine
    }

    private mutating func lift(from view: Int) {
        let touched = scratch.touched
        for node in touched {
            scratch.own[Int(node)] = 0
            scratch.flags[Int(node)] = 0
        }
        scratch.touched.removeAll(keepingCapacity: true)
        for node in touched { views[view].set(Int(node), plainEntry(Int(node), view)) }
        for (tree, position) in scratch.blocked { views[view].trees[tree].unblock(position) }
        scratch.blocked.removeAll(keepingCapacity: true)
        for branch in views[view].branches.indices {
            views[view].branches[branch].tasks = 0
            views[view].branches[branch].isFull = false
        }
        // What this call has changed it has changed here, too.
        views[view].seen = forgottenChanges + changes.count
    }

    // MARK: Search

    private mutating func choose(_ demand: Demand, _ view: Int) -> Int? { choose(demand, view, branch: 0) }

    /// Goes to the branch with the fewest tasks of the service; when there is no room in it, to the next.
    private mutating func choose(_ demand: Demand, _ view: Int, branch: Int) -> Int? {
        let tree = views[view].branches[branch].tree
        if tree >= 0 { return search(demand, view, tree) }
        while true {
            var best = -1
            for child in views[view].branches[branch].children where !views[view].branches[child].isFull {
                if best < 0 || views[view].branches[child].tasks < views[view].branches[best].tasks { best = child }
            }
            if best < 0 { return nil }
            if let node = choose(demand, view, branch: best) { return node }
            // Within a call room only becomes less.
            views[view].branches[best].isFull = true
        }
    }

    private mutating func search(_ demand: Demand, _ view: Int, _ tree: Int) -> Int? {
        var full: [Int] = []
        let leaf = views[view].trees[tree].lowest(cpu: demand.cpu, memory: demand.memory, full: &full)
        for position in full {
            views[view].trees[tree].block(position)
            if let leaf = views[view].trees[tree].leaf(at: position) {
                scratch.mark(Int(views[view].nodes[tree][leaf]), 0)
            } else {
                scratch.blocked.append((tree, position))
            }
        }
        return leaf.map { Int(views[view].nodes[tree][$0]) }
    }
}
