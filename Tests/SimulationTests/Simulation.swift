import Base
import Planning
import TestSupport

/// A cluster in memory that drives the real planners: nodes die and return, tasks crash, hang and start slowly, users update,
/// scale and drain, the daemon dies in the middle of its work. After each step what must always hold is checked.
///
/// Everything follows from the seed. Time is a number that steps.
struct Simulation {
    static let step: Int64 = 100

    var random: SeededRandom
    var now: Int64 = 0
    var scheduler: Scheduler
    let planner = ServicePlanner(patience: Patience(starting: 20_000_000_000, silence: 3_000_000_000))
    var nodes: [SimulatedNode] = []
    var services: [SimulatedService] = []
    var taskCount = 0
    /// While it lasts, things go wrong.
    var isStormy = true
    var trace: [String] = []
    var violation: String?

    var clock: Timestamp { Timestamp(nanoseconds: 1_000_000_000_000 + now * 1_000_000) }

    init(seed: UInt64) {
        random = SeededRandom(seed: seed)
        scheduler = Scheduler(strategy: random.below(4) == 0 ? .consolidate : .spread)
        for index in 0..<(2 + random.below(10)) {
            let node = NodeDescription(
                id: "n\(index)", labels: ["zone": random.pick(["a", "b"])],
                capacity: .init(nanoCPUs: 16_000_000_000, memoryBytes: Int64(8 + random.below(24)) << 30))
            nodes.append(SimulatedNode(description: node))
            scheduler.set(node)
        }
        for index in 0..<(1 + random.below(3)) { addService(index) }
    }

    private mutating func addService(_ index: Int) {
        var demand = Demand(reservations: .init(nanoCPUs: 200_000_000, memoryBytes: Int64(1 + random.below(8)) << 28))
        if random.below(3) == 0 { demand.spread = ["node.labels.zone"] }
        let update = UpdateConfig(
            parallelism: random.below(4), delay: Int64(random.below(3)) * 1_000_000_000,
            failureAction: random.pick([.pause, .rollback, .rollback, .continue]), monitor: 4_000_000_000,
            maximumFailureRatio: random.pick([0, 0, 0.2]), order: random.pick([.stopFirst, .startFirst]))
        services.append(
            SimulatedService(
                name: "s\(index)", demand: demand, isGlobal: random.below(5) == 0, replicas: 1 + random.below(8),
                update: update, hasSigns: random.below(2) == 0))
    }

    /// A storm, then calm until everything should have settled.
    ///
    /// - Returns: nil, or what was violated with the way there.
    mutating func run(stormSeconds: Int64, calmSeconds: Int64) -> String? {
        while now < stormSeconds * 1000, violation == nil { advance() }
        calm()
        let end = now + calmSeconds * 1000
        while now < end, violation == nil {
            advance()
            // A fault of the storm may still bring a bad version back; its users see that in time for the end.
            if now.isMultiple(of: 10_000), end - now > 100_000 { repair() }
        }
        if violation == nil { checkRest() }
        return violation.map { "at \(now) ms: \($0)\n" + trace.suffix(60).joined(separator: "\n") }
    }

    private mutating func advance() {
        now += Simulation.step
        if isStormy { storm() }
        nodesReturn()
        for index in services.indices {
            progress(index)
            reconcile(index)
            assign(index)
            forget(index)
        }
        checkCapacity()
    }

    /// Users repair what they broke.
    private mutating func calm() {
        isStormy = false
        for index in nodes.indices {
            nodes[index].returnsAt = nodes[index].returnsAt.map { _ in now }
            nodes[index].undrainsAt = nodes[index].undrainsAt.map { _ in now }
        }
        repair()
    }

    private mutating func repair() {
        for index in services.indices {
            let service = services[index]
            if service.badVersions.contains(service.version) || service.rollout?.state.isPaused == true {
                update(index, isBad: false)
            }
        }
    }

    mutating func log(_ text: String) {
        if trace.count > 400 { trace.removeFirst(200) }
        trace.append("\(now) \(text)")
    }

    mutating func violate(_ text: String) { if violation == nil { violation = text } }

    mutating func chance(_ perMinute: Double) -> Bool {
        Double(random.below(1_000_000)) < perMinute / 60_000 * Double(Simulation.step) * 1_000_000
    }
}
