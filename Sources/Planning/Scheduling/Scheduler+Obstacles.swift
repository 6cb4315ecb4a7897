extension Scheduler {
    /// What stands against a task of the service on the node; nil when it may run there.
    public func obstacle(to demand: Demand, of service: String, on id: String) -> Obstacle? {
        guard let node = indexes[id] else { return .down }
        // A service without tasks has no number yet.
        let index = serviceIndexes[service] ?? -1
        return obstacle(demand, index, node, blocks(demand, index, name: service))
    }

    /// The same as the trees tell by their keys, one node at a time and with the reason.
    func obstacle(_ demand: Demand, _ service: Int32, _ node: Int, _ blocks: [Int32: Obstacle]) -> Obstacle? {
        guard let description = descriptions[node] else { return .down }
        if !description.isReady { return .down }
        if description.availability == .pause { return .paused }
        if description.availability == .drain { return .drained }
        if let obstacle = ViewKey(demand).obstacle(description) { return obstacle }
        if let obstacle = blocks[Int32(node)] { return obstacle }
        let own = service < 0 ? 0 : Int(services[service].nodes[Int32(node)] ?? 0)
        if demand.maximumReplicas > 0, own >= demand.maximumReplicas { return .maximumReplicas(demand.maximumReplicas) }
        var load = loads[node]
        if load.tasks >= load.maximumTasks { return .maximumTasks }
        // A sandbox of its own counts as a part of what the task wants.
        let cost = hasMachine(demand, node) ? .init() : description.isolations[demand.isolation] ?? .init()
        load.take(1, of: cost)
        let cpu = demand.isDedicated ? load.freeDedicatedCPU : load.freeCPU
        if cpu < demand.cpu { return .cpu(wanted: demand.cpu + cost.nanoCPUs, free: cpu + cost.nanoCPUs) }
        let memory = demand.isDedicated ? load.freeDedicatedMemory : load.freeMemory
        if memory < demand.memory {
            return .memory(wanted: demand.memory + cost.memoryBytes, free: memory + cost.memoryBytes)
        }
        return nil
    }

    /// What every node has against such a task, however empty it were; nil when one could take it.
    public func impossibility(of demand: Demand) -> Shortfall? {
        var obstacles: [Obstacle] = []
        for case let description? in descriptions {
            guard let obstacle = impossibility(of: demand, on: description) else { return nil }
            obstacles.append(obstacle)
        }
        return Shortfall(count: 1, obstacles)
    }

    private func impossibility(of demand: Demand, on description: NodeDescription) -> Obstacle? {
        if let obstacle = ViewKey(demand).obstacle(description) { return obstacle }
        var empty = NodeLoad()
        empty.adopt(description)
        let (cpu, memory) =
            demand.isDedicated
            ? (empty.freeDedicatedCPU, empty.freeDedicatedMemory) : (empty.freeCPU, empty.freeMemory)
        if cpu < demand.cpu { return .cpu(wanted: demand.cpu, free: cpu) }
        return memory < demand.memory ? .memory(wanted: demand.memory, free: memory) : nil
    }

    private func hasMachine(_ demand: Demand, _ node: Int) -> Bool {
        guard let tenancy = demand.tenancy, let counts = machines[tenancy.tenant]?[Int32(node)] else { return false }
        return counts.contains { $0 > 0 && $0 < tenancy.places }
    }

    /// Nodes that other tasks close to these: by ports, and by services that keep apart.
    func blocks(_ demand: Demand, _ service: Int32, name: String? = nil) -> [Int32: Obstacle] {
        var blocks: [Int32: Obstacle] = [:]
        for port in demand.hostPorts {
            for node in (portNodes[port] ?? [:]).keys where blocks[node] == nil { blocks[node] = .port(port) }
        }
        let name = service < 0 ? name ?? "" : services[service].name
        var neighbours = demand.keepsAwayFrom.compactMap { serviceIndexes[$0] }
        let others = (shunners[name] ?? [:]).keys.filter { $0 != service }
        neighbours += others.sorted { services[$0].name < services[$1].name }
        for neighbour in neighbours {
            for node in services[neighbour].nodes.keys where blocks[node] == nil {
                blocks[node] = .neighbour(services[neighbour].name)
            }
        }
        return blocks
    }

    func shortfall(of demand: Demand, _ service: Int32, _ count: Int) -> Shortfall {
        let blocks = blocks(demand, service)
        return Shortfall(
            count: count,
            descriptions.indices.compactMap {
                descriptions[$0] == nil ? nil : obstacle(demand, service, $0, blocks)
            })
    }
}
