import Base

extension ServicePass {
    /// Takes slots away that are too many, and fills those that are missing.
    mutating func scale() {
        switch service.wanted {
        case .replicas: removeSurplus()
        case .nodes(let ids):
            let wanted = Set(ids.map(Slot.node))
            for view in slots where !wanted.contains(view.slot) { remove(view) }
        }
        if !removed.isEmpty { slots.removeAll { removed.contains($0.slot) } }
        let vacant = slots.filter { $0.newest == nil }
        if !vacant.isEmpty { slots.removeAll { $0.newest == nil } }
        vacancies = max(0, service.wanted.count - slots.count)
        guard vacancies > 0 else { return }
        // Tasks that were stopped for the rollout are replaced when they have ended: stop first, then start.
        let held = vacant.filter { isHeld($0) }.map(\.slot)
        let busy = Set(slots.map(\.slot)).union(vacant.filter { !$0.stopping.isEmpty }.map(\.slot))
        let version = plan.rollout?.state == .paused ? service.previousVersion ?? service.version : service.version
        for slot in free(besides: busy, vacancies - held.count, held) {
            start(slot, version, RestartHistory(), isRolling ? "updated" : "wanted")
        }
        for slot in held { note(slot, "waits until the task before it has ended") }
    }

    private func isHeld(_ view: SlotView) -> Bool {
        isRolling && config.order == .stopFirst && view.stopping.contains { $0.version != service.version }
    }

    /// The lowest numbers, or the nodes, that have no task yet. A node with a task that is still stopping gets one beside it.
    private func free(besides busy: Set<Slot>, _ count: Int, _ held: [Slot]) -> [Slot] {
        guard count > 0 else { return [] }
        switch service.wanted {
        case .nodes(let ids):
            let taken = Set(slots.map(\.slot)).union(held)
            return ids.sorted().map(Slot.node).filter { !taken.contains($0) }
        case .replicas:
            return Array((1...).lazy.map(Slot.replica).filter { !busy.contains($0) }.prefix(count))
        }
    }

    private mutating func remove(_ view: SlotView) {
        for task in view.tasks where task.isWanted { stop(task, .scaledDown) }
        removed.insert(view.slot)
    }

    /// Those go first that do not serve, then those of a version that goes anyway, then the second, third, … of their nodes, so
    /// that the rest is spread, then the highest numbers.
    private mutating func removeSurplus() {
        let surplus = slots.count { $0.newest != nil } - service.wanted.count
        guard surplus > 0 else { return }
        let ranked = slots.filter { $0.newest != nil }.map { (rank: !$0.isServing ? 2 : isDirty($0) ? 1 : 0, view: $0) }
        var perNode: [String: Int] = [:]
        var candidates: [(rank: Int, ordinal: Int, view: SlotView)] = []
        for (rank, view) in ranked.sorted(by: { ($0.rank, $0.view.slot) < ($1.rank, $1.view.slot) }) {
            let node = view.newest?.node ?? ""
            perNode[node, default: 0] += 1
            candidates.append((rank, perNode[node] ?? 1, view))
        }
        candidates.sort { ($0.rank, $0.ordinal, $0.view.slot) > ($1.rank, $1.ordinal, $1.view.slot) }
        for candidate in candidates.prefix(surplus) { remove(candidate.view) }
    }
}
