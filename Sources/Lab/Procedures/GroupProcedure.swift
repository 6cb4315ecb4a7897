import Base
import Kernel
import YAML

/// Several instances that do the same at the same time: how much they get done together, and how evenly.
struct GroupProcedure: Procedure {
    static let keys: Set<String> = [
        "isolations", "allocations", "levels", "duration", "workloads", "share-pod", "fence", "guests",
    ]

    let isolations: [LabIsolation]
    let allocations: [LabAllocation]
    /// Nil where it is processors that are promised.
    let fence: FenceSpec?
    /// How much is promised in relation to what there is: 2 for twice as many processors, or twice the fence's memory.
    let levels: [Double]
    let workloads: [Workload]
    /// Whether containers of a pod are in one VM together.
    let sharesPod: Bool
    private let measures = [
        Measure("slowest", unit: "of the mean", better: .higher), Measure("memory", unit: "MiB each", better: .lower),
    ]

    init(_ spec: SpecReader, images: Set<String>) throws(SkalaError) {
        isolations = try spec.required("isolations").words(LabIsolation.self)
        allocations = try spec.required("allocations").words(LabAllocation.self)
        let list = try spec.required("levels")
        var levels: [Double] = []
        for element in try list.elements() {
            let level = try element.number()
            guard level > 0, level <= 16 else { throw element.fault("a level is above 0, and 16 at most") }
            levels.append(level)
        }
        guard !levels.isEmpty else { throw list.fault("at least one level is expected") }
        self.levels = levels
        fence = try FenceSpec(spec)
        sharesPod = try spec["share-pod"]?.flag() ?? true
        workloads = try Workload.all(spec, images: images)
        for workload in workloads {
            guard case .inside = workload.work, workload.measures.count == 1, !workload.measures[0].isElapsed else {
                throw try spec.required("workloads").fault(
                    "\(workload.name): a group's workload has 'run', and one measure of what it says")
            }
        }
    }

    /// The instances that make up a level.
    func copies(_ workload: Workload, _ level: Double) -> Int {
        let exact =
            fence.map { level * Double($0.memory) / Double(workload.memory) }
            ?? level * Double(HostFacts.onlineCPUs) / workload.processors
        return max(1, Int(exact.rounded()))
    }

    func obstacles(_ scope: Scope) -> [String] {
        if fence != nil, let obstacle = scope.fenceObstacle { return [obstacle] }
        return workloads.flatMap { workload in
            levels.filter { !fits(workload, $0, scope) }.map {
                "\(workload.name) at \($0): \(copies(workload, $0)) instances of \(workload.memory >> 20) MiB are too much here"
            }
        }
    }

    private func fits(_ workload: Workload, _ level: Double, _ scope: Scope) -> Bool {
        if fence != nil, scope.fenceObstacle != nil { return false }
        return (fence?.memory ?? Int64(copies(workload, level)) * workload.memory) < scope.memory * 2 / 3
    }

    func cases(_ scope: Scope) -> [Case] {
        workloads.map { workload in
            var conditions: [Condition] = []
            for isolation in isolations where scope.isolations.contains(isolation) {
                for way in ways(isolation, scope) {
                    for level in levels where fits(workload, level, scope) {
                        var factors = [(name: "isolation", value: isolation.rawValue)]
                        if fence != nil || allocations.count > 1 { factors.append(("allocation", way)) }
                        if levels.count > 1 { factors.append(("level", GroupProcedure.text(level))) }
                        conditions.append(Condition(factors))
                    }
                }
            }
            return Case(
                workload.name, title: workload.title, conditions: conditions,
                measures: [together(workload)] + measures, base: base, expected: workload.duration + 4_000_000_000)
        }
    }

    private func ways(_ isolation: LabIsolation, _ scope: Scope) -> [String] {
        let allocations = allocations.filter(scope.allocations.contains)
        if let fence { return fence.ways(isolation, allocations) }
        // Processes have no limits.
        return allocations.filter { isolation != .process || $0 == self.allocations[0] }.map(\.rawValue)
    }

    private var base: (name: String, value: String) {
        if levels.count > 1 { return ("level", GroupProcedure.text(levels[0])) }
        return fence == nil ? ("isolation", isolations[0].rawValue) : ("allocation", allocations[0].rawValue)
    }

    /// What they get done adds up; of what is better when it is lower there is a mean.
    func isTotal(_ workload: Workload) -> Bool { workload.measures[0].measure.better != .lower }

    /// What all of them say, as one measure.
    func together(_ workload: Workload) -> Measure {
        let one = workload.measures[0].measure
        return Measure(isTotal(workload) ? "total" : "mean", unit: one.unit, better: one.better)
    }

    /// 2 as "2", 1.5 as "1.5".
    private static func text(_ level: Double) -> String { level == level.rounded() ? "\(Int(level))" : "\(level)" }
}
