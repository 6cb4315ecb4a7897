import Base
import Planning
import TestSupport

/// What holds at each step, whatever happens.
extension Simulation {
    /// No node has promised more than it has, and the scheduler's sums are those of the tasks.
    mutating func checkCapacity() {
        var memory: [String: Int64] = [:]
        for service in services {
            for task in service.tasks {
                guard let seat = task.seat else { continue }
                guard let node = scheduler.node(of: seat), node == task.observed.node else {
                    return violate("\(task.observed.id) is on another node than its seat")
                }
                memory[node, default: 0] += service.demand.reservations.memoryBytes
            }
        }
        for node in nodes {
            let used = memory[node.description.id] ?? 0
            if used > node.description.capacity.memoryBytes { violate("\(node.description.id) is over its capacity") }
            if scheduler.usage(of: node.description.id)?.promised.memoryBytes != used {
                violate("\(node.description.id) has lost count")
            }
        }
    }

    /// A plan keeps what planners promise.
    mutating func check(_ index: Int, _ service: ObservedService, _ plan: ServicePlan) {
        let name = services[index].name
        var bySlot = Dictionary(grouping: service.tasks.filter(\.isWanted), by: \.slot)
        func serves(_ task: ObservedTask) -> Bool {
            if case .serving = task.condition(at: clock, planner.patience) { true } else { false }
        }
        var updates = 0
        for action in plan.actions {
            guard case .stop(let id, let reason) = action, let task = service.tasks.first(where: { $0.id == id }) else {
                continue
            }
            let others = (bySlot[task.slot] ?? []).filter { $0.id != id }
            let isServing = serves(task)
            bySlot[task.slot] = others
            guard isServing else { continue }
            let hasOther = others.contains { serves($0) }
            switch reason {
            case .updated:
                if task.version == service.version { violate("\(name): \(id) is up to date and was updated") }
                if hasOther { break }
                // What a rollback finds is on its way, not there yet; but so it was before.
                if services[index].update.order == .startFirst,
                    !others.contains(where: { $0.version == service.version })
                {
                    violate("\(name): \(id) was stopped before its successor served")
                }
                updates += 1
            case .replaced: if !hasOther { violate("\(name): \(id) was replaced by nobody") }
            case .drained: if task.nodeCondition != .draining { violate("\(name): \(id) was drained without reason") }
            case .scaledDown: break
            }
        }
        let wanted =
            switch service.wanted {
            case .replicas(let count): count
            case .nodes(let ids): ids.count
            }
        let parallelism = services[index].update.parallelism
        if updates > 0, parallelism > 0, services[index].update.order == .stopFirst {
            let serving = Set(bySlot.filter { $0.value.contains(where: serves) }.keys)
            let failed = services[index].failedSlots.subtracting(serving).count
            let missing = wanted - serving.count - failed
            if missing > parallelism {
                violate("\(name): \(missing) of \(wanted) do not serve, \(parallelism) may be updated at a time")
            }
        }
        for (slot, starts) in services[index].starts where starts.count > 12 {
            let recent = starts.suffix(12)
            // Updates and nodes start tasks, too, but not this often in a second.
            if let first = recent.first, now - first < 1000 {
                violate("\(name): slot \(slot) started 12 times in a second")
            }
        }
        let active = service.tasks.filter { $0.isWanted && $0.isActive }
        if active.count > 3 * wanted + 30 { violate("\(name) has \(active.count) tasks for \(wanted)") }
    }

    /// After the storm all is well, and nothing happens any more.
    mutating func checkRest() {
        for index in services.indices {
            let service = observed(index)
            let plan = planner.plan(service, at: clock)
            let name = services[index].name
            let active = services[index].tasks.filter(\.isActive)
            let waiting = active.filter { $0.observed.node == nil }
            let wanted = services[index].isGlobal ? nodes.count : services[index].replicas
            if !plan.actions.isEmpty { violate("\(name) does not come to rest: \(plan.actions)") }
            if plan.rollout?.state.isRolling == true, waiting.isEmpty { violate("\(name) rolls on: \(plan.notes)") }
            if !waiting.isEmpty {
                // There is no room: then no node takes it.
                let isFull = nodes.allSatisfy {
                    scheduler.obstacle(to: services[index].demand, of: name, on: $0.description.id) != nil
                }
                if !isFull { violate("\(name): \(waiting.count) tasks wait though there is room") }
                continue
            }
            if active.count != wanted { violate("\(name) has \(active.count) active tasks, \(wanted) are wanted") }
            if plan.serving != wanted { violate("\(name): \(plan.serving) of \(wanted) serve") }
            if active.contains(where: { $0.observed.version != services[index].version }) {
                violate("\(name) has tasks of another version: \(plan.rollout.map { "\($0)" } ?? "no rollout")")
            }
        }
    }
}
