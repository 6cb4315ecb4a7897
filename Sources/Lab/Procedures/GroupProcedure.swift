import Base
import Kernel
import YAML

/// Several instances that do the same at the same time: how much they get done together, and how evenly.
struct GroupProcedure: Procedure {
    static let keys: Set<String> = ["isolations", "allocations", "levels", "duration", "workloads", "share-pod"]

    let isolations: [LabIsolation]
    let allocations: [LabAllocation]
    /// How much is promised in relation to what the host has: 2 for twice as many processors.
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
        sharesPod = try spec["share-pod"]?.flag() ?? true
        workloads = try Workload.all(spec, images: images)
        for workload in workloads {
            guard case .inside = workload.work, workload.measures.count == 1, !workload.measures[0].isElapsed else {
                throw try spec.required("workloads").fault(
                    "\(workload.name): a group's workload has 'run', and one measure of what it says")
            }
        }
    }

    private func copies(_ workload: Workload, _ level: Double) -> Int {
        max(1, Int((level * Double(HostFacts.onlineCPUs) / workload.processors).rounded()))
    }

    func obstacles(_ scope: Scope) -> [String] {
        workloads.flatMap { workload in
            levels.filter { !fits(workload, $0, scope) }.map {
                "\(workload.name) at \($0): \(copies(workload, $0)) instances of \(workload.memory >> 20) MiB are too much here"
            }
        }
    }

    private func fits(_ workload: Workload, _ level: Double, _ scope: Scope) -> Bool {
        Int64(copies(workload, level)) * workload.memory < scope.memory * 2 / 3
    }

    func cases(_ scope: Scope) -> [Case] {
        workloads.map { workload in
            var conditions: [Condition] = []
            for isolation in isolations where scope.isolations.contains(isolation) {
                for allocation in allocations where scope.allocations.contains(allocation) {
                    // Processes have no limits.
                    if isolation == .process, allocation != allocations[0] { continue }
                    for level in levels where fits(workload, level, scope) {
                        var factors = [(name: "isolation", value: isolation.rawValue)]
                        if allocations.count > 1 { factors.append(("allocation", allocation.rawValue)) }
                        if levels.count > 1 { factors.append(("level", GroupProcedure.text(level))) }
                        conditions.append(Condition(factors))
                    }
                }
            }
            let total = workload.measures[0].measure
            return Case(
                workload.name, title: workload.title, conditions: conditions,
                measures: [Measure("total", unit: total.unit, better: total.better)] + measures,
                base: levels.count > 1
                    ? ("level", GroupProcedure.text(levels[0])) : ("isolation", isolations[0].rawValue),
                expected: workload.duration + 4_000_000_000)
        }
    }

    /// 2 as "2", 1.5 as "1.5".
    private static func text(_ level: Double) -> String { level == level.rounded() ? "\(Int(level))" : "\(level)" }

    func trial(_ condition: Condition, of name: String, in bench: Bench) throws -> Trial {
        guard let workload = workloads.first(where: { $0.name == name }),
            let isolation = condition["isolation"].flatMap(LabIsolation.init)
        else { throw SkalaError(.invalid, "no such condition: \(condition)") }
        let allocation = condition["allocation"].flatMap(LabAllocation.init) ?? allocations[0]
        let count = copies(workload, condition["level"].flatMap { Double($0) } ?? levels[0])
        var deadline = bench.deadline(workload.deadline)
        let before = HostMemory.available()
        var instances: [any Instance] = []
        defer {
            for instance in instances { instance.remove() }
            bench.removePods()
        }
        var spec = InstanceSpec(
            image: workload.image, program: workload.program, processors: workload.processors, memory: workload.memory,
            allocation: allocation, role: "member")
        if isolation == .pod, sharesPod {
            spec.annotations.append(("skala.pod", try bench.pod(for: spec, members: count)))
        }
        for _ in 0..<count { instances.append(try bench.instance(spec, isolation: isolation)) }
        for instance in instances {
            guard let later = try instance.deadlineOnceUp(deadline) else { return Trial(failure: "did not boot") }
            deadline = later
        }
        for instance in instances {
            if let failure = try workload.makeReady(instance, deadline) { return Trial(failure: failure) }
        }
        guard let values = try work(workload, instances, deadline) else {
            return .unfinished(after: workload.deadline)
        }
        let memory = Double(before - HostMemory.available()) / Double(count) / Double(1 << 20)
        let total = values.reduce(0, +)
        let mean = total / Double(count)
        return Trial(values: [
            "total": total, "slowest": mean > 0 ? (values.min() ?? 0) / mean : 0, "memory": memory,
        ])
    }

    /// Starts the work in all of them, and collects what they say at its end; nil when one does not end by the deadline.
    private func work(_ workload: Workload, _ instances: [any Instance], _ deadline: Deadline) throws -> [Double]? {
        guard case .inside(let script) = workload.work else { return nil }
        let seconds = max(1, workload.duration / 1_000_000_000)
        // A file of each container's own that is there when the work has ended.
        let job = "( (\n\(script)\n) >/tmp/lab.output 2>&1; echo $? >/tmp/lab.status ) >/dev/null 2>&1 </dev/null &"
        for instance in instances {
            let started = try instance.execute(job, environment: ["DURATION=\(seconds)"], until: deadline)
            guard started.status == 0 else {
                throw SkalaError(.system, "\(workload.name): its work did not begin: \(started.output.suffix(300))")
            }
        }
        try deadline.pause(workload.duration)
        var values: [Double] = []
        for instance in instances {
            let hasEnded = try deadline.wait(every: 100_000_000) {
                try instance.execute("test -s /tmp/lab.status", environment: [], until: deadline).status == 0
            }
            guard hasEnded else { return nil }
            let end = "cat /tmp/lab.output; exit $(cat /tmp/lab.status)"
            let said = try instance.execute(end, environment: [], until: deadline)
            guard said.status == 0 else {
                throw SkalaError(.system, "\(workload.name) ended with an error: \(said.output.suffix(300))")
            }
            guard let value = workload.measures[0].value(in: said) else {
                throw SkalaError(.invalid, "\(workload.name): no value in its output:\n\(said.output.suffix(1000))")
            }
            values.append(value)
        }
        return values
    }
}
