import Base
import Planning
import TestSupport
import Testing

/// The trees against a plain look at every node.
struct SchedulerPropertyTests {
    private static func node(_ index: Int, _ random: inout SeededRandom) -> NodeDescription {
        var node = NodeDescription(
            id: "n\(index)", labels: ["zone": random.pick(["a", "b", "c"]), "disk": random.pick(["ssd", "hdd"])],
            capacity: .init(
                nanoCPUs: Int64(random.below(8)) * 1_000_000_000, memoryBytes: Int64(random.below(16)) << 30),
            maximumTasks: random.pick([3, 10, 100]), isolations: ["container": .init()])
        node.overcommit = Overcommit(cpuPercent: random.pick([100, 150, 333]), memoryPercent: random.pick([100, 120]))
        if random.below(4) > 0 { node.isolations["pod"] = .init(nanoCPUs: 50_000_000, memoryBytes: 300 << 20) }
        if random.below(8) == 0 { node.availability = random.pick([.pause, .drain]) }
        if random.below(12) == 0 { node.isReady = false }
        return node
    }

    private static func demand(_ random: inout SeededRandom) -> Demand {
        var demand = Demand(
            reservations: .init(
                nanoCPUs: Int64(random.below(20)) * 100_000_000, memoryBytes: Int64(random.below(20)) << 27),
            allocation: random.pick([.shared, .shared, .dedicated, .bestEffort]))
        if random.below(3) == 0 { demand.constraints = [.init(key: "node.labels.disk", isEqual: true, value: "ssd")] }
        if random.below(3) == 0 { demand.spread = ["node.labels.zone"] }
        if random.below(4) == 0 { demand.maximumReplicas = 1 + random.below(2) }
        if random.below(5) == 0 { demand.hostPorts = [.init(port: 80 + random.below(3))] }
        if random.below(5) == 0 { demand.keepsAwayFrom = ["s\(random.below(5))"] }
        if random.below(3) == 0 {
            demand.isolation = "pod"
            demand.tenancy = .init(tenant: random.pick(["t", "u"]), places: 2 + random.below(3))
        }
        return demand
    }

    private struct Task {
        var seat: Seat
        let service: String
        let demand: Demand
    }

    @Test(arguments: Seeds.first(60))
    func placesAreThoseOfAPlainLook(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        let strategy: Scheduler.Strategy = seed % 3 == 0 ? .consolidate : .spread
        var scheduler = Scheduler(strategy: strategy)
        var ids: [String] = []
        for index in 0..<(1 + random.below(24)) {
            let node = SchedulerPropertyTests.node(index, &random)
            ids.append(node.id)
            scheduler.set(node)
        }
        // Each service keeps its demand most of the time, so that views are used again.
        var demands = (0..<5).map { _ in SchedulerPropertyTests.demand(&random) }
        var tasks: [Task] = []
        for _ in 0..<120 {
            let number = random.below(5)
            let service = "s\(number)"
            switch random.below(10) {
            case 0..<4:
                let count = random.below(8)
                var oneByOne = scheduler
                var expected: [String] = []
                for _ in 0..<count {
                    let open = ids.filter { oneByOne.obstacle(to: demands[number], of: service, on: $0) == nil }
                    let placed = oneByOne.place(demands[number], of: service)
                    guard let id = placed.seats.first.flatMap({ oneByOne.node(of: $0) }) else {
                        #expect(open.isEmpty, "seed \(seed): nothing placed though \(open) are open")
                        break
                    }
                    expected.append(id)
                    #expect(open.contains(id), "seed \(seed): placed on \(id), open are \(open)")
                    if strategy == .spread, demands[number].spread.isEmpty {
                        let fewest = open.map { oneByOne.tasks(of: service, on: $0) - ($0 == id ? 1 : 0) }.min() ?? 0
                        #expect(oneByOne.tasks(of: service, on: id) - 1 == fewest, "seed \(seed): \(id)")
                    }
                }
                let placed = scheduler.place(demands[number], of: service, count: count)
                #expect(placed.seats.map { scheduler.node(of: $0) } == expected, "seed \(seed)")
                #expect(placed.seats.count + (placed.shortfall?.count ?? 0) == count)
                tasks += placed.seats.map { Task(seat: $0, service: service, demand: demands[number]) }
            case 4, 5:
                for _ in 0..<random.below(6) where !tasks.isEmpty {
                    scheduler.release(tasks.remove(at: random.below(tasks.count)).seat)
                }
            case 6: demands[number] = SchedulerPropertyTests.demand(&random)
            case 7:
                // Other tasks keep what they have: it may be more than there is now.
                var node = SchedulerPropertyTests.node(random.below(ids.count), &random)
                if let old = scheduler.node(node.id) { node.capacity = old.capacity }
                if let old = scheduler.node(node.id) { node.overcommit = old.overcommit }
                scheduler.set(node)
            default: check(scheduler, ids, tasks, seed)
            }
        }
        var rebuilt = Scheduler(strategy: strategy)
        for id in ids { if let node = scheduler.node(id) { rebuilt.set(node) } }
        for task in tasks {
            let id = scheduler.node(of: task.seat) ?? ""
            _ = rebuilt.occupy(task.demand, of: task.service, on: id, machine: task.seat.machine)
        }
        for id in ids { #expect(rebuilt.usage(of: id)?.promised == scheduler.usage(of: id)?.promised, "seed \(seed)") }
        let (here, there) = (scheduler.place(demands[0], of: "s0"), rebuilt.place(demands[0], of: "s0"))
        #expect(here.seats.map { scheduler.node(of: $0) } == there.seats.map { rebuilt.node(of: $0) }, "seed \(seed)")
        #expect(here.shortfall == there.shortfall, "seed \(seed)")
        for seat in here.seats { scheduler.release(seat) }
        for task in tasks { scheduler.release(task.seat) }
        for id in ids { #expect(scheduler.usage(of: id)?.promised == .init(), "seed \(seed): \(id) is not empty") }
    }

    /// What is promised is the sum of what the tasks were promised, each VM once.
    private func check(_ scheduler: Scheduler, _ ids: [String], _ tasks: [Task], _ seed: UInt64) {
        for id in ids {
            guard let node = scheduler.node(id), let usage = scheduler.usage(of: id) else { continue }
            let here = tasks.filter { scheduler.node(of: $0.seat) == id }
            let shared = here.filter { $0.demand.allocation == .shared }
            let dedicated = here.filter { $0.demand.allocation == .dedicated }
            let overhead = node.isolations["pod"] ?? .init()
            let machines = Set(
                here.filter { $0.demand.tenancy != nil }.map {
                    "\($0.demand.tenancy?.tenant ?? "")/\($0.seat.machine ?? -1)"
                })
            let memory =
                shared.reduce(0) { $0 + $1.demand.reservations.memoryBytes }
                + Int64(machines.count) * overhead.memoryBytes
            let own = dedicated.reduce(0) { $0 + $1.demand.reservations.memoryBytes }
            let promised = memory + (own * Int64(node.overcommit.memoryPercent) + 99) / 100
            #expect(usage.promised.memoryBytes == promised, "seed \(seed): \(id)")
            #expect(usage.tasks == here.count, "seed \(seed): \(id)")
        }
    }
}
