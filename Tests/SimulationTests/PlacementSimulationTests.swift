import Base
import Planning
import TestSupport
import Testing

/// A cluster whose services come, scale and go, placed by what a host's profile says, and without it.
private struct PlacementSimulation {
    struct Service {
        let name: String
        let demand: Demand
        var seats: [Seat] = []
    }

    var scheduler = Scheduler()
    private var services: [Service] = []
    private let nodes: Int
    private let capacity: Int
    private let usesProfile: Bool
    private var made = 0
    private var unplaced = 0

    /// Losses partly as the study found them, partly assumed: docs/planning.md says which.
    static let profile = HostProfile(
        accelerator: "kvm",
        entries: [
            (.cpu, "container", "shared", .competing, 0.6), (.cpu, "container", "dedicated", .competing, 0.1),
            (.cpu, "container", "shared", .orthogonal, 0.1), (.cpu, "microvm", "shared", .competing, 0.5),
            (.memory, "container", "shared", .competing, 0.3), (.memory, "microvm", "shared", .competing, 0.2),
            (.disk, "container", "shared", .competing, 0.85), (.disk, "container", "dedicated", .competing, 0.85),
            (.disk, "microvm", "shared", .competing, 0.5), (.disk, "container", "shared", .orthogonal, 0.1),
            (.network, "container", "shared", .competing, 0.3), (.network, "microvm", "shared", .competing, 0.3),
        ].map {
            (resource: Resource, isolation: String, allocation: String, neighbour: HostProfile.Neighbour, loss: Double)
            in
            .init(
                .init(.loss, resource, isolation, allocation, neighbour), value: loss, isProved: true, run: "study",
                measured: Timestamp(seconds: 1_800_000_000), isShortened: false)
        })

    init(nodes: Int, tasksPerNode: Int, usesProfile: Bool) {
        self.nodes = nodes
        self.usesProfile = usesProfile
        capacity = nodes * tasksPerNode
        for index in 0..<nodes {
            var node = NodeDescription(
                id: "n\(index)", capacity: .init(nanoCPUs: 32_000_000_000, memoryBytes: 128 << 30),
                isolations: ["container": .init(), "microvm": .init(memoryBytes: 32 << 20)])
            // Both are judged by it; the other does not know it when it places.
            if usesProfile { node.interference = Interference(PlacementSimulation.profile) }
            scheduler.set(node)
        }
    }

    /// The same demands and events for a seed, whoever places.
    mutating func run(_ seed: UInt64, steps: Int) {
        var random = SeededRandom(seed: seed)
        for _ in 0..<steps {
            let count = services.reduce(0) { $0 + $1.seats.count }
            // Draws are made whether or not they are used, so that both stories stay the same.
            let (kind, size, victim) = (random.below(10), 1 + random.below(12), random.next())
            let demand = Demand(
                reservations: .init(
                    nanoCPUs: Int64(1 + random.below(10)) * 100_000_000, memoryBytes: Int64(1 + random.below(16)) << 27),
                isolation: random.below(4) == 0 ? "microvm" : "container", profile: random.pick(Resource.allCases))
            if kind < 6, count + size <= capacity {
                made += 1
                let placed = scheduler.place(demand, of: "s\(made)", count: size)
                unplaced += placed.shortfall?.count ?? 0
                services.append(Service(name: "s\(made)", demand: demand, seats: placed.seats))
            } else if !services.isEmpty {
                let index = Int(victim % UInt64(services.count))
                if kind == 6 {
                    for seat in services.remove(at: index).seats { scheduler.release(seat) }
                } else if let seat = services[index].seats.popLast() {
                    // A task ends, and another takes its place.
                    scheduler.release(seat)
                    services[index].seats += scheduler.place(services[index].demand, of: services[index].name).seats
                }
            }
        }
    }

    /// Judged by the profile: what all tasks lose together, in tasks.
    func outcome() -> (tasks: Int, loss: Double, unplaced: Int) {
        var judge = scheduler
        for index in 0..<nodes {
            guard var node = judge.node("n\(index)") else { continue }
            node.interference = Interference(PlacementSimulation.profile)
            judge.set(node)
        }
        let loss = (0..<nodes).reduce(0) { $0 + judge.predictedLoss(on: "n\($1)") }
        return (services.reduce(0) { $0 + $1.seats.count }, loss, unplaced)
    }
}

struct PlacementSimulationTests {
    struct Load: Sendable, CustomTestStringConvertible {
        let tasksPerNode: Int
        /// So much less is lost with the profile, at least, in every seed.
        let gain: Double

        var testDescription: String { "\(tasksPerNode) tasks a node" }
    }

    /// The gain is largest where each kind of work can have a node's resource for itself, and shrinks as nodes fill.
    @Test(
        arguments: [
            Load(tasksPerNode: 2, gain: 0.6), Load(tasksPerNode: 4, gain: 0.4), Load(tasksPerNode: 8, gain: 0.15),
        ],
        Seeds.first(3))
    func lessIsLostThanWithoutTheProfile(load: Load, seed: UInt64) {
        var outcomes: [(tasks: Int, loss: Double, unplaced: Int)] = []
        for usesProfile in [false, true] {
            var simulation = PlacementSimulation(
                nodes: 100, tasksPerNode: load.tasksPerNode, usesProfile: usesProfile)
            simulation.run(seed, steps: 2000)
            outcomes.append(simulation.outcome())
        }
        let (without, with) = (outcomes[0], outcomes[1])
        let gain = 1 - with.loss / without.loss
        print(
            "placement, \(load.testDescription), seed \(seed): \(without.tasks) tasks lose \(without.loss) without, "
                + "\(with.loss) with the profile: \(Int((gain * 100).rounded())) % less")
        #expect(without.tasks == with.tasks && without.unplaced == 0 && with.unplaced == 0)
        #expect(without.tasks > 50 * load.tasksPerNode)
        #expect(gain >= load.gain, "SKALA_SEED=\(seed)")
    }
}
