import Base
import Planning

/// Which task of an experiment runs on which node: decided by the engine's scheduler, in the order in which the tasks arrive.
struct PlacementPlan: Sendable {
    /// A kind of task, and how many of it there are.
    struct Kind: Sendable, Hashable {
        let resource: Resource
        let count: Int
    }

    static let mostOrders = 1000

    let kinds: [Kind]
    let nodes: Int
    /// Processors of a node.
    let processors: Int
    /// A task's memory in bytes: that of the largest.
    let memory: Int64

    var taskCount: Int { kinds.reduce(0) { $0 + $1.count } }

    /// What each task reserves: all alike, and so little that one node could take them all. Nothing but what they live on tells
    /// them apart.
    private var reservations: TaskResources.Amounts {
        .init(nanoCPUs: Int64(processors) * 1_000_000_000 / Int64(taskCount), memoryBytes: memory)
    }

    // MARK: Arrivals

    /// How many different orders there are; nil for more than `mostOrders`.
    var orderCount: Int? {
        var (orders, placed) = (1, 0)
        for kind in kinds {
            for index in 1...kind.count {
                placed += 1
                // A binomial coefficient grows with each step, and divides at each.
                orders = orders * placed / index
                guard orders <= PlacementPlan.mostOrders else { return nil }
            }
        }
        return orders
    }

    /// All orders in which the tasks can arrive, as numbers of kinds.
    var orders: [[Int]] {
        var found: [[Int]] = []
        var left = kinds.map(\.count)
        var order: [Int] = []
        func extend() {
            if order.count == taskCount { found.append(order) }
            for kind in left.indices where left[kind] > 0 {
                left[kind] -= 1
                order.append(kind)
                extend()
                order.removeLast()
                left[kind] += 1
            }
        }
        extend()
        return found
    }

    /// The orders of a round, by the seed: as from a pack of cards that holds each once, shuffled anew when it is used up.
    func arrivals(_ count: Int, round: Int, seed: UInt64) -> [[Int]] {
        let orders = orders
        let first = max(0, round - 1) * count
        return (first..<first + count).map { position in
            var random = SeededOrder(seed: seed, round: position / orders.count, name: "arrivals")
            return random.shuffled(orders)[position % orders.count]
        }
    }

    // MARK: Places

    /// The node of each task of an order.
    ///
    /// - Parameters:
    ///   - knowledge: what the scheduler knows of how tasks disturb each other; nil when it knows nothing.
    ///   - judge: by which the loss of each task is predicted.
    func places(
        _ order: [Int], isolation: String, knowledge: Interference?, judge: Interference
    ) throws -> [(node: Int, loss: Double)] {
        var scheduler = Scheduler()
        func node(_ index: Int, _ interference: Interference?) -> NodeDescription {
            NodeDescription(
                id: "\(index)",
                capacity: .init(
                    nanoCPUs: Int64(processors) * 1_000_000_000, memoryBytes: memory * Int64(taskCount)),
                isolations: [isolation: .init()], interference: interference)
        }
        for index in 0..<nodes { scheduler.set(node(index, knowledge)) }
        let seats = try order.enumerated().map { number, kind in
            // Each is a service of its own: tasks of one service are spread in any case.
            let placed = scheduler.place(
                Demand(reservations: reservations, isolation: isolation, profile: kinds[kind].resource),
                of: "\(number)")
            guard let seat = placed.seats.first else { throw SkalaError(.exhausted, "a task has no place") }
            return seat
        }
        for index in 0..<nodes { scheduler.set(node(index, judge)) }
        return seats.map { seat in
            (scheduler.node(of: seat).flatMap { Int($0) } ?? 0, scheduler.predictedLoss(of: seat) ?? 0)
        }
    }
}
