import Base
import TestSupport
import Testing

@testable import Planning

/// Placement by what the lab measured, against a plain look at every node.
struct InterferencePlacementTests {
    /// Any losses there may be, some of them not measured, not proved or not finished.
    static func profile(_ random: inout SeededRandom) -> HostProfile {
        var entries: [HostProfile.Entry] = []
        for resource in Resource.allCases {
            for isolation in ["container", "microvm"] {
                for allocation in ["dedicated", "shared"] {
                    for neighbour in [HostProfile.Neighbour.competing, .orthogonal] where random.below(6) > 0 {
                        let value = random.below(12) == 0 ? nil : Double(random.below(90)) / 100
                        entries.append(
                            .init(
                                .init(.loss, resource, isolation, allocation, neighbour), value: value,
                                isProved: random.below(4) > 0, run: "r", measured: Timestamp(seconds: 1),
                                isShortened: false))
                    }
                }
            }
        }
        return HostProfile(accelerator: "tcg", entries: entries)
    }

    private static func demand(_ random: inout SeededRandom) -> Demand {
        Demand(
            reservations: .init(
                nanoCPUs: Int64(random.below(10)) * 100_000_000, memoryBytes: Int64(random.below(8)) << 27),
            allocation: random.pick([.shared, .shared, .dedicated, .bestEffort]),
            isolation: random.pick(["container", "microvm"]),
            constraints: random.below(4) == 0 ? [.init(key: "node.labels.disk", isEqual: true, value: "ssd")] : [],
            maximumReplicas: random.below(4) == 0 ? 2 : 0, keepsAwayFrom: random.below(5) == 0 ? ["s0"] : [],
            profile: random.below(5) == 0 ? nil : random.pick(Resource.allCases))
    }

    private struct Placed {
        let seat: Seat
        let service: String
        let demand: Demand
        let node: String
    }

    /// In the steps the scheduler sees.
    private static func added(_ demand: Demand, on node: String, _ scheduler: Scheduler) -> Double {
        let before = scheduler.predictedLoss(on: node)
        var with = scheduler
        _ = with.occupy(demand, of: "one more", on: node)
        return min(8191, ((with.predictedLoss(on: node) - before) * 50).rounded())
    }

    @Test(arguments: Seeds.first(40))
    func theNodeIsTheOneThatLosesLeast(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        var scheduler = Scheduler(strategy: seed % 4 == 0 ? .consolidate : .spread)
        let profiles = [InterferencePlacementTests.profile(&random), InterferencePlacementTests.profile(&random)]
        var ids: [String] = []
        for index in 0..<(2 + random.below(12)) {
            var node = NodeDescription(
                id: "n\(index)", labels: ["disk": random.pick(["ssd", "hdd"])],
                capacity: .init(nanoCPUs: Int64(2 + random.below(8)) * 1_000_000_000, memoryBytes: 8 << 30),
                isolations: ["container": .init(), "microvm": .init(memoryBytes: 64 << 20)])
            // Each host has its own figures, or none.
            if random.below(6) > 0 { node.interference = Interference(random.pick(profiles)) }
            ids.append(node.id)
            scheduler.set(node)
        }
        var demands = (0..<6).map { _ in InterferencePlacementTests.demand(&random) }
        var tasks: [Placed] = []
        for _ in 0..<100 {
            let number = random.below(demands.count)
            let (service, demand) = ("s\(number)", demands[number])
            switch random.below(8) {
            case 0..<5:
                let before = scheduler
                let open = ids.filter { before.obstacle(to: demand, of: service, on: $0) == nil }
                let placed = scheduler.place(demand, of: service)
                guard let seat = placed.seats.first, let node = scheduler.node(of: seat) else {
                    #expect(open.isEmpty, "seed \(seed): nothing placed though \(open) are open")
                    continue
                }
                tasks.append(Placed(seat: seat, service: service, demand: demand, node: node))
                #expect(open.contains(node), "seed \(seed): \(node) is closed, open are \(open)")
                // Spreading the service goes first; among the nodes it leaves, the losses decide.
                let fewest = open.map { before.tasks(of: service, on: $0) }.min() ?? 0
                let choice =
                    before.strategy == .spread ? open.filter { before.tasks(of: service, on: $0) == fewest } : open
                guard demand.profile != nil else { continue }
                let least = choice.map { InterferencePlacementTests.added(demand, on: $0, before) }.min() ?? 0
                let own = InterferencePlacementTests.added(demand, on: node, before)
                // Two ways of adding up may round differently at the border of a step.
                #expect(own <= least + 1, "seed \(seed): \(node) loses \(own), another \(least)")
            case 5:
                if !tasks.isEmpty { scheduler.release(tasks.remove(at: random.below(tasks.count)).seat) }
            case 6: demands[number] = InterferencePlacementTests.demand(&random)
            default:
                guard !tasks.isEmpty else { continue }
                let index = random.below(tasks.count)
                var demand = tasks[index].demand
                demand.profile = random.pick(Resource.allCases)
                let seat = scheduler.set(demand.profile, of: tasks[index].seat)
                #expect(scheduler.node(of: seat) == tasks[index].node)
                tasks[index] = Placed(
                    seat: seat, service: tasks[index].service, demand: demand, node: tasks[index].node)
            }
        }
        // What is known of neighbours is that of the tasks that are there, and a new scheduler knows the same.
        var rebuilt = Scheduler(strategy: scheduler.strategy)
        for id in ids { if let node = scheduler.node(id) { rebuilt.set(node) } }
        for task in tasks { _ = rebuilt.occupy(task.demand, of: task.service, on: task.node) }
        for id in ids {
            #expect(abs(rebuilt.predictedLoss(on: id) - scheduler.predictedLoss(on: id)) < 1e-9, "seed \(seed)")
            #expect(rebuilt.usage(of: id)?.promised == scheduler.usage(of: id)?.promised, "seed \(seed)")
            for resource in Resource.allCases {
                let count = tasks.count { $0.node == id && $0.demand.profile == resource }
                #expect(scheduler.tasks(livingOn: resource, on: id) == count, "seed \(seed)")
            }
        }
        let (here, there) = (
            scheduler.place(demands[0], of: "s0", count: 5), rebuilt.place(demands[0], of: "s0", count: 5)
        )
        #expect(here.seats.map { scheduler.node(of: $0) } == there.seats.map { rebuilt.node(of: $0) }, "seed \(seed)")
        for seat in here.seats + tasks.map(\.seat) { scheduler.release(seat) }
        for id in ids { #expect(scheduler.predictedLoss(on: id) == 0 && scheduler.usage(of: id)?.tasks == 0) }
    }

    @Test func tasksThatHurtEachOtherAreKeptApart() {
        let loss = HostProfile.Entry(
            .init(.loss, .disk, "container", "shared", .competing), value: 0.5, isProved: true, run: "r",
            measured: Timestamp(seconds: 1), isShortened: false)
        var scheduler = Scheduler()
        for id in ["a", "b"] {
            scheduler.set(NodeDescription(id: id, capacity: .init(nanoCPUs: 8_000_000_000, memoryBytes: 8 << 30)))
        }
        let (disk, cpu) = (Demand(profile: .disk), Demand(reservations: .init(nanoCPUs: 1_000_000_000), profile: .cpu))
        func node(_ demand: Demand, _ service: String) -> String {
            let seats = scheduler.place(demand, of: service).seats
            return seats.first.flatMap { scheduler.node(of: $0) } ?? "?"
        }
        #expect(node(disk, "one") == "a")
        #expect(node(cpu, "two") == "b")
        // Without figures the less promised one; with them the one without a disk task.
        #expect(node(disk, "three") == "a")
        for id in ["a", "b"] {
            guard var described = scheduler.node(id) else { continue }
            described.interference = Interference(HostProfile(accelerator: nil, entries: [loss]))
            scheduler.set(described)
        }
        let placed = scheduler.place(disk, of: "four")
        #expect(placed.seats.map { scheduler.node(of: $0) } == ["b"])
        #expect(placed.seats.first.flatMap { scheduler.predictedLoss(of: $0) } == 0)
        #expect(scheduler.predictedLoss(on: "a") == 1)
        // A constraint goes before any loss.
        let bound = Demand(constraints: [.init(key: "node.id", isEqual: true, value: "a")], profile: .disk)
        #expect(node(bound, "five") == "a")
    }
}
