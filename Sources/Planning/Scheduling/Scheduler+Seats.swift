extension Scheduler {
    /// A seat for a task that is there already: after a restart, or one that was placed by hand. Nothing is checked.
    ///
    /// - Parameter machine: what `Seat.machine` said; nil for the fullest of the tenant's VMs.
    /// - Returns: nil when there is no such node.
    public mutating func occupy(_ demand: Demand, of service: String, on node: String, machine: Int? = nil) -> Seat? {
        guard let index = indexes[node] else { return nil }
        let service = enter(service)
        return take(demand, enter(demand), service, index, machine: machine)
    }

    /// Takes a seat back. Each is given back once.
    public mutating func release(_ seat: Seat) {
        let node = Int(seat.node)
        let demand = demands[seat.demand].demand
        loads[node].take(demand, sign: -1)
        if let work = demands[seat.demand].work { count(work, -1, node) }
        if demand.tenancy == nil || leaves(seat, demand) { pay(-1, demands[seat.demand].isolation, node) }
        for port in demand.hostPorts { Scheduler.decrement(&portNodes, port, seat.node) }
        for name in demand.keepsAwayFrom { Scheduler.decrement(&shunners, name, seat.service) }
        Scheduler.decrement(&services[seat.service].nodes, seat.node)
        services[seat.service].tasks -= 1
        demands[seat.demand].tasks -= 1
        leave(seat.service, seat.demand)
        if descriptions[node] == nil {
            if loads[node].tasks == 0 { freePlaces.append(node) }
        } else {
            changed(node)
        }
    }

    mutating func take(
        _ demand: Demand, _ demandIndex: Int32, _ service: Int32, _ node: Int, machine given: Int? = nil
    ) -> Seat {
        loads[node].take(demand, sign: 1)
        if let work = demands[demandIndex].work { count(work, 1, node) }
        var machine = -1
        if let tenancy = demand.tenancy {
            machine = given ?? Scheduler.machine(of: machines[tenancy.tenant]?[Int32(node)] ?? [], tenancy.places)
            var counts = machines[tenancy.tenant]?[Int32(node)] ?? []
            while counts.count <= machine { counts.append(0) }
            if counts[machine] == 0 { pay(1, demands[demandIndex].isolation, node) }
            counts[machine] += 1
            machines[tenancy.tenant, default: [:]][Int32(node)] = counts
        } else {
            pay(1, demands[demandIndex].isolation, node)
        }
        for port in demand.hostPorts { portNodes[port, default: [:]][Int32(node), default: 0] += 1 }
        for name in demand.keepsAwayFrom { shunners[name, default: [:]][service, default: 0] += 1 }
        services[service].nodes[Int32(node), default: 0] += 1
        services[service].tasks += 1
        demands[demandIndex].tasks += 1
        changed(node)
        return Seat(service: service, demand: demandIndex, node: Int32(node), machineNumber: Int32(machine))
    }

    /// The fullest VM with room, or else the first number without a VM: what is full and what is empty stays so.
    private static func machine(of counts: [Int], _ places: Int) -> Int {
        let fullest = counts.indices.filter { counts[$0] > 0 && counts[$0] < places }.max { counts[$0] < counts[$1] }
        return fullest ?? counts.firstIndex(of: 0) ?? counts.count
    }

    /// Whether the seat was the last in its VM.
    private mutating func leaves(_ seat: Seat, _ demand: Demand) -> Bool {
        guard let tenancy = demand.tenancy, var counts = machines[tenancy.tenant]?[seat.node] else { return false }
        let machine = Int(seat.machineNumber)
        guard counts.indices.contains(machine) else { return false }
        counts[machine] -= 1
        let isLast = counts[machine] == 0
        while counts.last == 0 { counts.removeLast() }
        machines[tenancy.tenant]?[seat.node] = counts.isEmpty ? nil : counts
        if machines[tenancy.tenant]?.isEmpty == true { machines[tenancy.tenant] = nil }
        return isLast
    }

    /// What a sandbox costs is a sum a node and isolation, so that it follows when the cost is measured anew.
    private mutating func pay(_ count: Int32, _ isolation: Int, _ node: Int) {
        sandboxes[isolation][node] += count
        loads[node].take(Int64(count), of: costs[isolation][node])
    }

    // MARK: Records

    mutating func enter(_ service: String) -> Int32 {
        if let index = serviceIndexes[service] { return index }
        let index = services.add(ServiceRecord(name: service))
        serviceIndexes[service] = index
        return index
    }

    mutating func enter(_ demand: Demand) -> Int32 {
        if let index = demandIndexes[demand] { return index }
        let index = demands.add(
            DemandRecord(
                demand: demand, isolation: enter(isolation: demand.isolation), work: Interference.Work(demand)))
        demandIndexes[demand] = index
        return index
    }

    /// Forgets both when no task of them is left.
    mutating func leave(_ service: Int32, _ demand: Int32) {
        if services[service].tasks == 0, serviceIndexes.removeValue(forKey: services[service].name) != nil {
            services.remove(service)
        }
        if demands[demand].tasks == 0, demandIndexes.removeValue(forKey: demands[demand].demand) != nil {
            demands.remove(demand)
        }
    }

    private static func decrement<Key: Hashable>(_ counts: inout [Key: [Int32: Int]], _ key: Key, _ index: Int32) {
        guard let count = counts[key]?[index] else { return }
        counts[key]?[index] = count > 1 ? count - 1 : nil
        if counts[key]?.isEmpty == true { counts[key] = nil }
    }

    private static func decrement(_ counts: inout [Int32: Int32], _ index: Int32) {
        guard let count = counts[index] else { return }
        counts[index] = count > 1 ? count - 1 : nil
    }
}
