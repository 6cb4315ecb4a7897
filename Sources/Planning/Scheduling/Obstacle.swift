import Base

/// Why a node cannot take a task. In the order in which they are looked at.
public enum Obstacle: Error, Hashable {
    case down, paused, drained
    case platform
    case isolation(String)
    case constraint(Placement.Constraint)
    case port(Demand.HostPort)
    /// It has a task of this service, which the task keeps away from, or the other way round.
    case neighbour(String)
    case maximumReplicas(Int)
    case maximumTasks
    /// In billionths of a CPU, and bytes.
    case cpu(wanted: Int64, free: Int64)
    case memory(wanted: Int64, free: Int64)
}

/// What is said of tasks that have no node.
public struct Shortfall: Sendable, Hashable, CustomStringConvertible {
    /// So many tasks.
    public var count: Int
    /// How many nodes have which obstacle, the most frequent first. Of amounts the most that any of them has free is told.
    public var obstacles: [(nodes: Int, obstacle: Obstacle)]

    init(count: Int, _ found: [Obstacle]) {
        self.count = count
        var order: [Kind] = []
        var groups: [Kind: (nodes: Int, obstacle: Obstacle)] = [:]
        for obstacle in found {
            let kind = Kind(obstacle)
            guard let known = groups[kind] else {
                order.append(kind)
                groups[kind] = (1, obstacle)
                continue
            }
            groups[kind] = (known.nodes + 1, Shortfall.nearer(known.obstacle, obstacle))
        }
        let all = order.compactMap { groups[$0] }
        // Stable, so that equal ones stay in the order of the nodes.
        obstacles = all.enumerated().sorted { ($1.element.nodes, $0.offset) < ($0.element.nodes, $1.offset) }.map(
            \.element)
    }

    private static func nearer(_ left: Obstacle, _ right: Obstacle) -> Obstacle {
        switch (left, right) {
        case (.cpu(let wanted, let free), .cpu(_, let other)): .cpu(wanted: wanted, free: max(free, other))
        case (.memory(let wanted, let free), .memory(_, let other)): .memory(wanted: wanted, free: max(free, other))
        default: left
        }
    }

    /// `no suitable node (2 nodes lack memory: 1GiB wanted, 512MiB free at most; 1 node is drained)`.
    public var description: String {
        if obstacles.isEmpty { return "no suitable node (there are no nodes)" }
        let texts = obstacles.map { "\(Text.count($0.nodes, "node")) \($0.obstacle.text(isOne: $0.nodes == 1))" }
        return "no suitable node (\(texts.joined(separator: "; ")))"
    }

    public static func == (left: Shortfall, right: Shortfall) -> Bool {
        left.count == right.count && left.description == right.description
    }

    public func hash(into hasher: inout Hasher) {
        hasher.combine(count)
        hasher.combine(description)
    }

    /// Obstacles that are counted together.
    private enum Kind: Hashable {
        case cpu, memory
        case other(Obstacle)

        init(_ obstacle: Obstacle) {
            switch obstacle {
            case .cpu: self = .cpu
            case .memory: self = .memory
            default: self = .other(obstacle)
            }
        }
    }
}

extension Obstacle {
    /// What follows the nodes' number: `is drained`, `lack memory`.
    func text(isOne: Bool) -> String {
        func verb(_ one: String, _ many: String) -> String { isOne ? one : many }
        return switch self {
        case .down: verb("is down", "are down")
        case .paused: verb("is paused", "are paused")
        case .drained: verb("is drained", "are drained")
        case .platform: verb("has", "have") + " another platform"
        case .isolation(let name): verb("does", "do") + " not offer isolation \(name)"
        case .constraint(let constraint): verb("does", "do") + " not fulfil \(constraint.text)"
        case .port(let port): verb("has", "have") + " port \(port) in use"
        case .neighbour(let service): verb("runs", "run") + " \(service), which it keeps away from"
        case .maximumReplicas(let limit): verb("has its", "have their") + " " + Text.count(limit, "replica")
        case .maximumTasks: verb("runs", "run") + " as many tasks as allowed"
        case .cpu(let wanted, let free):
            verb("lacks", "lack")
                + " CPU: \(Text.number(Double(wanted) / 1e9)) wanted, \(Text.number(Double(max(0, free)) / 1e9)) free at most"
        case .memory(let wanted, let free):
            verb("lacks", "lack")
                + " memory: \(ByteSize.binary(wanted)) wanted, \(ByteSize.binary(max(0, free))) free at most"
        }
    }
}
