import Base
import Kernel
import Planning
import YAML

/// Tasks that run at the same time on nodes the scheduler chose, with and without what is known of how they disturb each other.
///
/// The nodes are equal shares of this host's processors.
struct PlacementProcedure: Procedure {
    static let keys: Set<String> = [
        "isolations", "placements", "nodes", "tasks", "arrivals", "profile-rounds", "duration", "workloads",
    ]

    /// What the scheduler knows.
    enum Knowledge: String, Sendable, CaseIterable {
        case without
        /// What was measured on a node, in this run.
        case profile = "by profile"
        /// What the engine has of this host.
        case hostProfile = "by host profile"
    }

    /// The name of its one case.
    static let name = "mix"
    private static let ofAlone = "% of alone"

    let isolations: [LabIsolation]
    let placements: [Knowledge]
    let arrivals: Int
    let workloads: [Workload]
    let plan: PlacementPlan
    /// The processors of each node; nil when there are too few.
    let shares: [String]?
    private let ground: PlacementGround

    init(_ spec: SpecReader, images: Set<String>) throws(SkalaError) {
        if let value = spec["isolations"] {
            isolations = try value.words(LabIsolation.self)
            if let wrong = isolations.first(where: { $0 != .container && $0 != .microvm }) {
                throw value.fault("'\(wrong.rawValue)' cannot be put on a node: container and microvm can")
            }
        } else {
            isolations = [.container]
        }
        placements = try spec["placements"]?.words(Knowledge.self) ?? [.without, .profile]
        let nodes = Int(try spec["nodes"]?.integer(2...16) ?? 2)
        arrivals = Int(try spec["arrivals"]?.integer(1...100) ?? 6)
        let (workloads, kinds) = try PlacementProcedure.tasks(spec, images)
        self.workloads = workloads
        let processors = NodeCores.processors()
        shares = NodeCores.shares(nodes, of: processors)
        plan = PlacementPlan(
            kinds: kinds, nodes: nodes, processors: max(1, processors.count / nodes),
            memory: workloads.map(\.memory).max() ?? 0)
        guard plan.orderCount != nil else {
            throw try spec.required("tasks").fault(
                "there are more than \(PlacementPlan.mostOrders) orders in which so many tasks can arrive")
        }
        ground = PlacementGround(workloads, rounds: Int(try spec["profile-rounds"]?.integer(2...20) ?? 4))
    }

    /// The workloads there are tasks of, and how many of each.
    private static func tasks(
        _ spec: SpecReader, _ images: Set<String>
    ) throws(SkalaError) -> ([Workload], [PlacementPlan.Kind]) {
        let all = try Workload.all(spec, images: images)
        let list = try spec.required("tasks")
        var (workloads, kinds): ([Workload], [PlacementPlan.Kind]) = ([], [])
        for (name, value) in try list.entries() {
            guard let workload = all.first(where: { $0.name == name }) else {
                throw value.fault("no workload '\(name)' stands under 'workloads'")
            }
            guard let resource = workload.resource else {
                throw value.fault("\(name) does not say by 'resource' what it lives on")
            }
            guard case .inside = workload.work, let measure = workload.measures.first, !measure.isElapsed,
                measure.measure.better != .neither
            else {
                throw value.fault("\(name): a task has 'run', and a measure, higher or lower, of what it says")
            }
            guard !names.contains(name) else { throw value.fault("'\(name)' is the name of a measure") }
            workloads.append(workload)
            kinds.append(.init(resource: resource, count: Int(try value.integer(1...8))))
        }
        guard kinds.reduce(0, { $0 + $1.count }) >= 2 else { throw list.fault("at least two tasks are expected") }
        return (workloads, kinds)
    }

    // MARK: cases

    func obstacles(_ scope: Scope) -> [String] {
        var obstacles: [String] = []
        if scope.processors < plan.nodes { obstacles.append("\(plan.nodes) nodes need as many processors") }
        if !hasMemory(scope) {
            obstacles.append("\(plan.taskCount) tasks of \(plan.memory >> 20) MiB are too much for this host")
        }
        if placements.contains(.hostProfile), !knowsTasks(scope.profile) {
            obstacles.append(
                "placement by host profile: the engine has no profile of what the tasks live on ('skala lab run interference' makes one)"
            )
        }
        return obstacles
    }

    private func hasMemory(_ scope: Scope) -> Bool { Int64(plan.taskCount) * plan.memory < scope.memory * 2 / 3 }

    /// Whether a profile says anything of tasks such as these.
    private func knowsTasks(_ profile: HostProfile?) -> Bool {
        guard let profile else { return false }
        return isolations.contains { isolation in
            plan.kinds.contains { profile.loss($0.resource, isolation.rawValue, "shared", .competing) != nil }
        }
    }

    private static let names: Set<String> = ["kept", "slowest", "together", "predicted"]

    private var measures: [Measure] {
        let ofAlone = PlacementProcedure.ofAlone
        return [
            Measure("kept", unit: ofAlone, better: .higher), Measure("slowest", unit: ofAlone, better: .higher),
        ] + workloads.map { Measure($0.name, unit: ofAlone, better: .higher) } + [
            Measure("together", unit: "tasks", better: .lower),
            Measure("predicted", unit: ofAlone, better: .neither),
        ]
    }

    func cases(_ scope: Scope) -> [Case] {
        guard scope.processors >= plan.nodes, hasMemory(scope) else { return [] }
        var conditions: [Condition] = []
        for isolation in isolations where scope.isolations.contains(isolation) {
            for placement in placements where placement != .hostProfile || knowsTasks(scope.profile) {
                conditions.append(
                    Condition(
                        (isolations.count > 1 ? [(name: "isolation", value: isolation.rawValue)] : [])
                            + [("placement", placement.rawValue)]))
            }
        }
        let tasks = zip(plan.kinds, workloads).map { "\($0.count) × \($1.name)" }.joined(separator: ", ")
        let duration = workloads.map(\.duration).max() ?? 0
        return [
            Case(
                PlacementProcedure.name, title: "\(tasks) on \(plan.nodes) nodes", conditions: conditions,
                measures: measures, base: ("placement", placements[0].rawValue),
                expected: Int64(arrivals) * (duration + 500_000_000))
        ]
    }

    // MARK: a trial

    func trial(_ condition: Condition, of name: String, in bench: Bench) throws -> Trial {
        let isolation = condition["isolation"].flatMap(LabIsolation.init) ?? isolations[0]
        guard let placement = condition["placement"].flatMap({ Knowledge(rawValue: $0) }), let shares else {
            throw SkalaError(.invalid, "no such condition: \(condition)")
        }
        let nodes = PlacementNodes(shares: shares, processors: plan.processors, isolation: isolation, bench: bench)
        let known: PlacementGround.Figures
        switch try ground.figures(nodes, round: bench.round) {
        case .known(let figures): known = figures
        case .unfinished(let workload):
            return Trial(failure: "\(workload.name) alone did not finish within \(workload.deadline / 1_000_000_000) s")
        }
        let judge = Interference(known.profile)
        let knowledge: Interference? =
            switch placement {
            case .without: nil
            case .profile: judge
            case .hostProfile: try HostProfile.stored(bench.client).map { Interference($0) }
            }
        var score = PlacementScore(workloads.map(\.name))
        for order in plan.arrivals(arrivals, round: bench.round, seed: bench.seed) {
            let places = try plan.places(
                order, isolation: isolation.rawValue, knowledge: knowledge, judge: judge)
            let tasks = zip(order, places).map { (workload: workloads[$0], node: $1.node) }
            guard let values = try nodes.run(tasks) else {
                return .unfinished(after: workloads.map(\.deadline).max() ?? 0)
            }
            let kept = zip(tasks, values).map { task, value in
                known.share(value, of: task.workload.name, isHigherBetter: task.workload.isHigherBetter)
            }
            score.add(
                names: tasks.map(\.workload.name), resources: order.map { plan.kinds[$0].resource },
                nodes: places.map(\.node), kept: kept, predicted: places.map { 1 - $0.loss })
        }
        var trial = Trial(values: score.values)
        if placement != .without {
            trial.remarks = [placement == .profile ? known.remark : "the host's profile is the engine's"]
        }
        return trial
    }
}

extension Workload {
    /// Whether more of its first measure is better.
    var isHigherBetter: Bool { measures.first?.measure.better != .lower }
}
