import Base
import Planning
import TestSupport

extension Simulation {
    /// What nodes and users do.
    mutating func storm() {
        if chance(3) {
            let index = random.below(nodes.count)
            if nodes[index].description.isReady { lose(index) }
        }
        if chance(1) {
            let index = random.below(nodes.count)
            nodes[index].description.availability = .drain
            nodes[index].undrainsAt = now + Int64(5000 + random.below(60_000))
            log("drain \(nodes[index].description.id)")
            publish(index)
        }
        for index in services.indices {
            if chance(2) { update(index, isBad: random.below(2) == 0) }
            if chance(2), !services[index].isGlobal {
                services[index].replicas = 1 + random.below(10)
                services[index].isChanged = true
                log("\(services[index].name): scale to \(services[index].replicas)")
            }
        }
    }

    private mutating func lose(_ index: Int) {
        nodes[index].description.isReady = false
        nodes[index].returnsAt = now + Int64(1000 + random.below(40_000))
        // It loses its power, or only its network.
        let isOff = random.below(2) == 0
        log("lose \(nodes[index].description.id)\(isOff ? " (off)" : "")")
        publish(index)
        guard isOff else { return }
        for service in services.indices {
            for task in services[service].tasks.indices
            where services[service].tasks[task].observed.node == nodes[index].description.id {
                services[service].tasks[task].diedUnseen = true
            }
        }
    }

    mutating func nodesReturn() {
        for index in nodes.indices {
            if let time = nodes[index].returnsAt, time <= now {
                nodes[index].returnsAt = nil
                nodes[index].description.isReady = true
                log("return \(nodes[index].description.id)")
                publish(index)
            }
            if let time = nodes[index].undrainsAt, time <= now {
                nodes[index].undrainsAt = nil
                nodes[index].description.availability = .active
                log("undrain \(nodes[index].description.id)")
                publish(index)
            }
        }
    }

    private mutating func publish(_ index: Int) {
        let node = nodes[index].description
        scheduler.set(node)
        let condition: ObservedTask.NodeCondition =
            !node.isReady ? .down : node.availability == .drain ? .draining : .ready
        for service in services.indices {
            services[service].isChanged = true
            for task in services[service].tasks.indices where services[service].tasks[task].observed.node == node.id {
                services[service].tasks[task].observed.nodeCondition = condition
                services[service].tasks[task].observed.lastSign =
                    condition == .down || !services[service].hasSigns ? nil : clock
            }
        }
    }

    /// A user changes the service.
    mutating func update(_ index: Int, isBad: Bool) {
        let next = (services[index].tasks.map(\.observed.version).max() ?? 1) + 1
        services[index].previousVersion = services[index].version
        services[index].version = max(next, services[index].version + 1)
        if isBad { services[index].badVersions.insert(services[index].version) }
        services[index].rollout = nil
        services[index].failedSlots = []
        services[index].isChanged = true
        log("\(services[index].name): update to \(services[index].version)\(isBad ? ", bad" : "")")
    }

    mutating func fate(_ service: SimulatedService, _ version: UInt64) -> SimulatedTask.Fate {
        let isBad = service.badVersions.contains(version)
        guard isBad || (isStormy && random.below(12) == 0) else { return .fine }
        switch random.below(isBad ? 4 : 5) {
        case 0: return .rejected
        case 1: return .crash(after: Int64(random.below(3000)))
        case 2: return .unhealthy(after: Int64(500 + random.below(3000)))
        case 3: return service.hasSigns ? .hang(after: Int64(random.below(1000))) : .stuck
        default: return .crash(after: Int64(10_000 + random.below(60_000)))
        }
    }
}
