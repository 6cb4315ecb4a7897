import Base
import Planning

/// A whole cluster under the planners: services are deployed, nodes die, versions are rolled out. Tasks start at once, so that
/// what is measured is planning.
struct Cluster {
    struct Service {
        var observed: ObservedService
        let demand: Demand
        /// Of the tasks, in their order.
        var seats: [Seat?] = []
    }

    var scheduler: Scheduler
    var services: [Service] = []
    var now = Timestamp(seconds: 1_000_000)
    var placed = 0
    var actions = 0
    var plans = 0
    private var names = 0

    init(_ scheduler: Scheduler, services count: Int, replicas: Int, _ random: inout Random) {
        self.scheduler = scheduler
        for _ in 0..<count {
            var demand = demand(&random)
            demand.maximumReplicas = 0
            let update = UpdateConfig(parallelism: replicas / 10, monitor: 1_000_000_000)
            let observed = ObservedService(wanted: .replicas(replicas), version: 1, update: update, tasks: [])
            services.append(Service(observed: observed, demand: demand))
        }
    }

    /// Plans for a service until nothing is left to do, with a second from one plan to the next.
    ///
    /// - Returns: as many as serve.
    mutating func settle(_ index: Int) -> Int {
        let planner = ServicePlanner()
        for _ in 0..<100 {
            let plan = planner.plan(services[index].observed, at: now)
            plans += 1
            services[index].observed.rollout = plan.rollout
            if plan.isSettled { return plan.serving }
            actions += plan.actions.count
            apply(plan, index)
            now = now.advanced(by: 1_000_000_000)
        }
        return -1
    }

    private mutating func apply(_ plan: ServicePlan, _ index: Int) {
        let numbers = Dictionary(
            uniqueKeysWithValues: services[index].observed.tasks.enumerated().map { ($0.element.id, $0.offset) })
        var started = 0
        for action in plan.actions {
            switch action {
            case .start(let start):
                names += 1
                services[index].observed.tasks.append(
                    ObservedTask(
                        id: "t\(names)", slot: start.slot, version: start.version, createdAt: now,
                        history: start.history))
                started += 1
            case .stop(let id, _), .fail(let id, _):
                guard let number = numbers[id] else { continue }
                services[index].observed.tasks[number].isWanted = false
                end(number, index)
            case .rollBack: break
            }
        }
        let first = services[index].observed.tasks.count - started
        services[index].seats += Array(repeating: nil, count: started)
        let result = scheduler.place(services[index].demand, of: "service-\(index)", count: started)
        placed += result.seats.count
        for (offset, seat) in result.seats.enumerated() {
            services[index].seats[first + offset] = seat
            services[index].observed.tasks[first + offset].node = scheduler.node(of: seat)
            services[index].observed.tasks[first + offset].state = .running
            services[index].observed.tasks[first + offset].runningSince = now
        }
        forget(index)
    }

    private mutating func end(_ number: Int, _ index: Int) {
        services[index].observed.tasks[number].state = .shutdown
        if let seat = services[index].seats[number] { scheduler.release(seat) }
        services[index].seats[number] = nil
    }

    /// Drops what has ended.
    private mutating func forget(_ index: Int) {
        let kept = services[index].observed.tasks.indices.filter { services[index].observed.tasks[$0].isActive }
        guard kept.count < services[index].observed.tasks.count else { return }
        services[index].seats = kept.map { services[index].seats[$0] }
        services[index].observed.tasks = kept.map { services[index].observed.tasks[$0] }
    }

    /// - Returns: the services that have lost tasks.
    mutating func kill(_ ids: Set<String>) -> [Int] {
        for id in ids {
            guard var node = scheduler.node(id) else { continue }
            node.isReady = false
            scheduler.set(node)
        }
        var hit: [Int] = []
        for index in services.indices {
            var isHit = false
            for number in services[index].observed.tasks.indices
            where services[index].observed.tasks[number].node.map(ids.contains) ?? false {
                services[index].observed.tasks[number].nodeCondition = .down
                isHit = true
            }
            if isHit { hit.append(index) }
        }
        return hit
    }
}

/// Deploys, kills a hundredth of the nodes, and rolls out a hundredth of the services.
func simulateCluster(_ scheduler: Scheduler, nodes: Int, tasks: Int, _ random: inout Random) {
    let replicas = min(1000, tasks)
    let count = tasks / replicas
    var cluster = Cluster(scheduler, services: count, replicas: replicas, &random)
    func phase(_ name: String, _ indexes: [Int]) {
        let before = (cluster.placed, cluster.actions, cluster.plans)
        var serving = 0
        let seconds = measure { for index in indexes { serving += cluster.settle(index) } }
        let json: JSON = [
            "scenario": JSON("cluster: " + name), "nodes": JSON(nodes), "tasks": JSON(tasks),
            "services": JSON(indexes.count), "placed": JSON(cluster.placed - before.0),
            "actions": JSON(cluster.actions - before.1), "plans": JSON(cluster.plans - before.2),
            "all_serve": JSON(serving == indexes.count * replicas), "seconds": .double(seconds),
            "memory_peak_kb": JSON(memory("VmHWM")),
        ]
        print(json.text)
    }
    phase("deploy", Array(cluster.services.indices))
    phase("nothing changes", Array(cluster.services.indices))
    let dead = Set((0..<max(1, nodes / 100)).map { "node-\($0 * 100)" })
    phase("1 % of nodes die", cluster.kill(dead))
    let updated = (0..<max(1, count / 100)).map { $0 * 100 }.filter { $0 < count }
    for index in updated {
        cluster.services[index].observed.previousVersion = 1
        cluster.services[index].observed.version = 2
    }
    phase("1 % of services are updated", updated)
}
