extension Scheduler {
    /// The view for a demand, up to date.
    mutating func view(for demand: Demand) -> Int {
        let key = ViewKey(demand)
        uses += 1
        let index: Int
        if let known = viewIndexes[key] {
            index = known
            if views[index].structure != structure {
                views[index] = NodeView(
                    key, isolation: enter(isolation: key.isolation), descriptions, structure: structure)
                fill(index)
            } else {
                catchUp(index)
            }
        } else {
            let view = NodeView(key, isolation: enter(isolation: key.isolation), descriptions, structure: structure)
            if views.count < Scheduler.maximumViews {
                index = views.count
                views.append(view)
            } else {
                // The one that was not used for the longest time.
                index = views.indices.min { views[$0].usedAt < views[$1].usedAt } ?? 0
                viewIndexes[views[index].key] = nil
                views[index] = view
            }
            viewIndexes[key] = index
            fill(index)
        }
        views[index].usedAt = uses
        return index
    }

    /// Reads what has changed since the view was last used, or all nodes when that is less.
    private mutating func catchUp(_ view: Int) {
        let first = views[view].seen - forgottenChanges
        // A change alone climbs the tree; all together climb it once.
        guard first >= 0, changes.count - first < max(16, descriptions.count / 4) else { return fill(view) }
        for change in first..<changes.count {
            let node = Int(changes[change])
            views[view].set(node, plainEntry(node, view))
        }
        views[view].seen = forgottenChanges + changes.count
    }

    private mutating func fill(_ view: Int) {
        for tree in views[view].trees.indices {
            for leaf in views[view].nodes[tree].indices {
                let entry = plainEntry(Int(views[view].nodes[tree][leaf]), view)
                views[view].trees[tree].fill(leaf, entry)
            }
            views[view].trees[tree].build()
        }
        views[view].seen = forgottenChanges + changes.count
    }

    /// What a node is to a service that has nothing to do with it yet.
    func plainEntry(_ node: Int, _ view: Int) -> NodeTree.Entry {
        entry(
            node, costs[views[view].isolation][node], isDedicated: views[view].key.isDedicated,
            work: views[view].key.work, own: 0, flags: 0)
    }

    /// What a node is to the call at work.
    func entry(_ node: Int, _ demand: Demand, _ view: Int) -> NodeTree.Entry {
        let (own, flags) = (scratch.own[node], scratch.flags[node])
        if flags & Scratch.blocked != 0 { return .none }
        if demand.maximumReplicas > 0, Int(own) >= demand.maximumReplicas { return .none }
        let overhead = flags & Scratch.hasMachine == 0 ? costs[views[view].isolation][node] : TaskResources.Amounts()
        return entry(
            node, overhead, isDedicated: demand.isDedicated, work: views[view].key.work, own: own, flags: flags)
    }

    /// The key, from its highest bit on:
    ///
    ///     spread        never 1 · avoid 1 · own tasks 16 · needs a new VM 1 · promised share 23 · tasks 22
    ///     consolidate   never 1 · avoid 1 · nothing   16 · needs a new VM 1 · free share     23 · places 22
    ///
    /// For tasks that say what they live on the predicted loss goes before the share: loss 13 · share 16 · tasks or places 16.
    private func entry(
        _ node: Int, _ overhead: TaskResources.Amounts, isDedicated: Bool, work: Interference.Work?, own: Int32,
        flags: UInt8
    ) -> NodeTree.Entry {
        var load = loads[node]
        guard load.tasks < load.maximumTasks else { return .none }
        let promised = UInt64(max(0, load.share) * Float(Scheduler.wholeShare))
        let tasks = UInt64(min(load.tasks, Int32(Scheduler.mostTasks)))
        var key: UInt64 = flags & Scratch.avoided == 0 ? 0 : 1 << 62
        key |= flags & Scratch.hasMachine == 0 ? 1 << 45 : 0
        let (share, places): (UInt64, UInt64)
        switch strategy {
        case .spread:
            key |= UInt64(min(own, 0xFFFF)) << 46
            (share, places) = (promised, tasks)
        case .consolidate: (share, places) = (Scheduler.wholeShare - promised, Scheduler.mostTasks - tasks)
        }
        if let work {
            let few = min(UInt64(load.tasks), 0xFFFF)
            key |= loss(of: work, on: node) << 32 | (share >> 7) << 16 | (strategy == .spread ? few : 0xFFFF - few)
        } else {
            key |= share << 22 | places
        }
        load.take(1, of: overhead)
        return isDedicated
            ? .init(key: key, cpu: load.freeDedicatedCPU, memory: load.freeDedicatedMemory)
            : .init(key: key, cpu: load.freeCPU, memory: load.freeMemory)
    }

    private static let wholeShare: UInt64 = 1 << 23 - 1
    private static let mostTasks: UInt64 = 1 << 22 - 1
}
