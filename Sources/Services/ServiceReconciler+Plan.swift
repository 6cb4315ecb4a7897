import Planning

extension ServiceReconciler {
    func plan(_ node: NodeRecord) async {
        guard case .replicated(let count) = service.spec.mode else { return }
        for task in tasks.values where task.isWanted && !task.state.isActive { await want(task.id, .shutdown) }
        let live = tasks.values.filter { $0.isWanted }
        for task in live where task.slot > count { await want(task.id, .remove) }
        let taken = Set(live.map(\.slot))
        for slot in 1...max(1, count) where slot <= count && !taken.contains(slot) {
            var task = TaskRecord(service: service, slot: slot, nodeID: node.id, counter: context.counter)
            task.enter(.assigned, "assigned")
            await add(task)
        }
    }
}
