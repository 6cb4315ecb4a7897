/// What nodes must have before their loads matter. Demands that agree in it share a `NodeView`.
struct ViewKey: Sendable, Hashable {
    let constraints: [Placement.Constraint]
    let platforms: [NodeDescription.Platform]
    let spread: [String]
    let isolation: String
    let isDedicated: Bool
    /// By what neighbours do to the task, and it to them: nil when that is not known.
    let work: Interference.Work?

    init(_ demand: Demand) {
        constraints = demand.constraints
        platforms = demand.platforms
        spread = demand.spread
        isolation = demand.isolation
        isDedicated = demand.isDedicated
        work = Interference.Work(demand)
    }

    /// Whether a node may ever take such tasks, and why not.
    func obstacle(_ node: NodeDescription) -> Obstacle? {
        if !platforms.isEmpty, !platforms.contains(where: node.fits) { return .platform }
        if let constraint = constraints.first(where: { !node.fulfils($0) }) { return .constraint(constraint) }
        return node.isolations[isolation] == nil ? .isolation(isolation) : nil
    }
}

/// The nodes that some demands may run on, and a tree of them for each group of nodes that spreading tells apart.
///
///                      ○                 preference 1: node.labels.zone
///               ╱             ╲
///            zone=a          zone=b      preference 2: node.labels.rack
///            ╱     ╲            │
///       rack=1    rack=2     rack=1      a tree each, with the nodes that have these values
struct NodeView: Sendable {
    struct Branch: Sendable {
        let parent: Int
        var children: [Int] = []
        /// Of the branches without children.
        var tree = -1
        /// Tasks of the service at work in it, and whether it has no room for one more; both nothing between searches.
        var tasks = 0
        var isFull = false
    }

    /// Where a node is: the branch, and the leaf of that branch's tree; -1 for nodes that are not in the view.
    struct Place: Sendable {
        var branch: Int32
        var leaf: Int32
    }

    let key: ViewKey
    /// Its number, for what a sandbox costs.
    let isolation: Int
    var branches: [Branch]
    var trees: [NodeTree] = []
    /// By tree and leaf.
    var nodes: [[Int32]] = []
    /// By node.
    var places: ContiguousArray<Place>
    /// Which change of a node it has seen last, and when it was used last.
    var seen = 0
    var usedAt = 0
    /// The structure it was made of.
    let structure: Int

    init(_ key: ViewKey, isolation: Int, _ descriptions: [NodeDescription?], structure: Int) {
        self.key = key
        self.isolation = isolation
        self.structure = structure
        branches = [Branch(parent: -1)]
        places = ContiguousArray(repeating: Place(branch: -1, leaf: -1), count: descriptions.count)
        var members: [Int: [Int32]] = [:]
        var children: [[String]: Int] = [:]
        for (index, description) in descriptions.enumerated() {
            guard let description, key.obstacle(description) == nil else { continue }
            var branch = 0
            var path: [String] = []
            for preference in key.spread {
                path.append(description.value(of: preference))
                if let known = children[path] {
                    branch = known
                } else {
                    branches.append(Branch(parent: branch))
                    branches[branch].children.append(branches.count - 1)
                    branch = branches.count - 1
                    children[path] = branch
                }
            }
            places[index] = Place(branch: Int32(branch), leaf: Int32(members[branch]?.count ?? 0))
            members[branch, default: []].append(Int32(index))
        }
        for branch in branches.indices where branches[branch].children.isEmpty {
            branches[branch].tree = trees.count
            nodes.append(members[branch] ?? [])
            trees.append(NodeTree(count: members[branch]?.count ?? 0))
        }
    }

    mutating func set(_ node: Int, _ entry: NodeTree.Entry) {
        let place = places[node]
        guard place.branch >= 0 else { return }
        trees[branches[Int(place.branch)].tree].set(Int(place.leaf), entry)
    }

    /// Counts a task of the service at work in the branches of its node.
    mutating func count(_ node: Int, _ tasks: Int) {
        var branch = Int(places[node].branch)
        while branch >= 0 {
            branches[branch].tasks += tasks
            branch = branches[branch].parent
        }
    }
}
