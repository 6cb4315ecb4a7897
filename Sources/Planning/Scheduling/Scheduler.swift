/// Gives tasks nodes. A value without clock, chance or memory of tasks: the same calls give the same places, and a copy
/// answers "what if".
///
///     demand ──▶ view: nodes that may, by constraints, platform, isolation          once for all demands alike
///            ──▶ for this call: what the service, its ports, neighbours and tenant change       a few nodes
///            ──▶ task by task: the branch with fewest, in it the node with the lowest key      a search each
///
/// Of the services' tasks each holds a `Seat`; the scheduler keeps sums only: of resources a node, of tasks a service and node.
///
/// Cost: a placement is a search and two changes in a tree, each about the logarithm of the nodes; the first use of other
/// constraints, or after labels changed, is a look at all nodes. docs/planning.md has the figures.
public struct Scheduler: Sendable {
    public enum Strategy: String, Sendable, Hashable, CaseIterable {
        /// Where the service has fewest tasks, then where least is promised: what fails takes little with it.
        case spread
        /// Where most is promised and it still fits: nodes stay empty, for large tasks or to be turned off.
        case consolidate
    }

    public let strategy: Strategy

    // By node; a place whose node is gone is used again when its last task has gone, too.
    var descriptions: [NodeDescription?] = []
    var loads: ContiguousArray<NodeLoad> = []
    /// Tasks that say what they live on.
    var groups: ContiguousArray<[Interference.Group]> = []
    var indexes: [String: Int] = [:]
    /// Isolations have numbers; by them and by node: what a sandbox costs, and how many there are.
    var isolations: [String: Int] = [:]
    var costs: [ContiguousArray<TaskResources.Amounts>] = []
    var sandboxes: [ContiguousArray<Int32>] = []
    var freePlaces: [Int] = []
    /// Raised when constraints or spreading may have other results.
    var structure = 0

    var services = Table<ServiceRecord>()
    var serviceIndexes: [String: Int32] = [:]
    var demands = Table<DemandRecord>()
    var demandIndexes: [Demand: Int32] = [:]
    /// Where tasks have a port of the node.
    var portNodes: [Demand.HostPort: [Int32: Int]] = [:]
    /// By the name of a service: the services that keep away from it, with as many tasks.
    var shunners: [String: [Int32: Int]] = [:]
    /// Tasks in each of a tenant's VMs on a node.
    var machines: [String: [Int32: [Int]]] = [:]

    var views: [NodeView] = []
    var viewIndexes: [ViewKey: Int] = [:]
    var uses = 0
    /// Nodes whose load has changed, in order; views read what they have not seen.
    var changes: ContiguousArray<Int32> = []
    var forgottenChanges = 0
    /// For the call at work, by node, and nothing between calls.
    var scratch = Scratch()

    /// So many different sets of constraints are kept ready; more are made anew when they are used.
    static let maximumViews = 64

    public init(strategy: Strategy = .spread) { self.strategy = strategy }

    struct ServiceRecord: Sendable {
        let name: String
        var tasks = 0
        /// By node.
        var nodes: [Int32: Int32] = [:]
    }

    struct DemandRecord: Sendable {
        let demand: Demand
        let isolation: Int
        let work: Interference.Work?
        var tasks = 0
    }

    // MARK: Nodes

    /// Adds a node, or changes it. Tasks on it stay, also when they would not be placed there now.
    public mutating func set(_ node: NodeDescription) {
        guard let index = indexes[node.id] else {
            let index = freePlaces.popLast() ?? descriptions.count
            if index == descriptions.count {
                descriptions.append(nil)
                loads.append(NodeLoad())
                groups.append([])
                for isolation in costs.indices {
                    costs[isolation].append(.init())
                    sandboxes[isolation].append(0)
                }
                scratch.grow()
            }
            indexes[node.id] = index
            descriptions[index] = node
            loads[index] = NodeLoad()
            loads[index].adopt(node)
            for isolation in costs.indices { sandboxes[isolation][index] = 0 }
            setCosts(node, index)
            structure += 1
            return
        }
        guard let old = descriptions[index], old != node else { return }
        setCosts(node, index)
        descriptions[index] = node
        loads[index].adopt(node)
        if !old.isAlike(to: node) { structure += 1 }
        changed(index)
    }

    /// Forgets a node. The seats that its tasks hold are still to be given back.
    public mutating func removeNode(_ id: String) {
        guard let index = indexes.removeValue(forKey: id) else { return }
        descriptions[index] = nil
        structure += 1
        if loads[index].tasks == 0 { freePlaces.append(index) }
    }

    public var nodeCount: Int { indexes.count }

    public func node(_ id: String) -> NodeDescription? { indexes[id].flatMap { descriptions[$0] } }

    /// The node of a seat; nil when it has been removed.
    public func node(of seat: Seat) -> String? { descriptions[Int(seat.node)]?.id }

    /// What is promised on a node, and how many tasks run there.
    public func usage(of id: String) -> (promised: TaskResources.Amounts, tasks: Int)? {
        guard let index = indexes[id] else { return nil }
        let load = loads[index]
        return (.init(nanoCPUs: load.cpuUsed, memoryBytes: load.memoryUsed), Int(load.tasks))
    }

    /// The tasks of a service on a node.
    public func tasks(of service: String, on id: String) -> Int {
        guard let index = indexes[id], let service = serviceIndexes[service] else { return 0 }
        return Int(services[service].nodes[Int32(index)] ?? 0)
    }

    /// Sandboxes that are there cost from now on what new ones cost.
    private mutating func setCosts(_ node: NodeDescription, _ index: Int) {
        for (name, isolation) in isolations {
            let cost = node.isolations[name] ?? .init()
            loads[index].take(-Int64(sandboxes[isolation][index]), of: costs[isolation][index])
            loads[index].take(Int64(sandboxes[isolation][index]), of: cost)
            costs[isolation][index] = cost
        }
    }

    mutating func enter(isolation name: String) -> Int {
        if let known = isolations[name] { return known }
        isolations[name] = costs.count
        costs.append(ContiguousArray(descriptions.map { $0?.isolations[name] ?? .init() }))
        sandboxes.append(ContiguousArray(repeating: 0, count: descriptions.count))
        return costs.count - 1
    }

    mutating func changed(_ node: Int) {
        changes.append(Int32(node))
        // What so many views have not read is read faster from the nodes themselves.
        guard changes.count > 4 * max(1024, descriptions.count) else { return }
        forgottenChanges += changes.count
        changes.removeAll(keepingCapacity: true)
    }
}

extension NodeDescription {
    /// Whether constraints, platforms, spreading and isolations have the same results.
    fileprivate func isAlike(to other: NodeDescription) -> Bool {
        var same = self
        same.availability = other.availability
        same.isReady = other.isReady
        same.capacity = other.capacity
        same.overcommit = other.overcommit
        same.maximumTasks = other.maximumTasks
        same.interference = other.interference
        return same == other
    }
}
