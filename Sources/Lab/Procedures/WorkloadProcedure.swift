import Base
import Kernel
import Planning
import YAML

/// Work in an instance, alone or beside a neighbour: baseline and interference.
struct WorkloadProcedure: Procedure {
    static let keys: Set<String> = ["isolations", "allocations", "duration", "settle", "workloads", "measured"]
    static let takesPeers = true

    /// The value of the factor `neighbour` where there is none.
    private static let alone = "none"

    let isolations: [LabIsolation]
    let allocations: [LabAllocation]
    let workloads: [Workload]
    /// Those that are measured, in this order; all that are no mere neighbours by default.
    let measured: [String]
    /// Nanoseconds a neighbour works before the victim does.
    let settle: Int64

    init(_ spec: SpecReader, images: Set<String>) throws(SkalaError) {
        isolations = try spec.required("isolations").words(LabIsolation.self)
        allocations = try spec.required("allocations").words(LabAllocation.self)
        settle = try spec["settle"]?.duration() ?? 1_000_000_000
        workloads = try Workload.all(spec, images: images)
        let names = Set(workloads.map(\.name))
        for workload in workloads {
            for neighbour in workload.neighbours where !names.contains(neighbour.workload) {
                throw try spec.required("workloads").fault(
                    "\(workload.name): no workload '\(neighbour.workload)' to be its neighbour")
            }
        }
        let isMeasured = Set(workloads.filter { !$0.allMeasures.isEmpty }.map(\.name))
        if let value = spec["measured"] {
            measured = try value.strings()
            if let wrong = measured.first(where: { !isMeasured.contains($0) }) {
                throw value.fault("no workload '\(wrong)' with measures")
            }
        } else {
            measured = workloads.map(\.name).filter(isMeasured.contains)
        }
    }

    private func workload(_ name: String) -> Workload? { workloads.first { $0.name == name } }

    func cases(_ scope: Scope) -> [Case] {
        // What is asked for by name is measured, even where it is left out otherwise.
        let asked = workloads.filter { scope.cases.contains($0.name) && !$0.allMeasures.isEmpty }
        let chosen = scope.cases.isEmpty ? measured.compactMap(workload) : asked
        return chosen.filter { $0.memory * 3 <= scope.memory }.map { workload in
            let hasNeighbours = !workload.neighbours.isEmpty
            var conditions: [Condition] = []
            for runner in scope.runners(isolations) {
                let neighbours = workload.neighbours.filter { canBeBeside($0.workload, workload, runner) }
                let kinds = [WorkloadProcedure.alone] + neighbours.map(\.kind.rawValue)
                for allocation in allocations where scope.allocations.contains(allocation) {
                    guard isPossible(runner, allocation) else { continue }
                    for kind in kinds {
                        let neighbour = hasNeighbours ? [(name: "neighbour", value: kind)] : []
                        conditions.append(Condition(condition(runner, allocation) + neighbour))
                    }
                }
            }
            return Case(
                workload.name, title: workload.title, conditions: conditions, measures: workload.allMeasures,
                base: hasNeighbours
                    ? ("neighbour", WorkloadProcedure.alone) : ("isolation", conditions.first?["isolation"] ?? ""),
                resource: workload.resource, expected: workload.duration + (hasNeighbours ? settle : 0) + 1_500_000_000)
        }
    }

    func obstacles(_ scope: Scope) -> [String] {
        var obstacles: [String] = []
        if isolations.contains(.machine), scope.isolations.contains(.machine), allocations.contains(.soft) {
            obstacles.append(MachineInstance.noSoftLimit)
        }
        for workload in measured.compactMap(workload) where workload.memory * 3 > scope.memory {
            obstacles.append(
                "\(workload.name): two instances of \(workload.memory >> 20) MiB are too much for this host")
        }
        for runner in scope.runners(isolations) {
            for victim in measured.compactMap(workload) {
                for neighbour in victim.neighbours where !canBeBeside(neighbour.workload, victim, runner) {
                    obstacles.append(
                        "\(victim.name) beside \(neighbour.workload), \(runner.name): both want the same port of the host"
                    )
                }
            }
        }
        return obstacles
    }

    /// Two servers of a kind have no place in one network.
    private func canBeBeside(_ neighbour: String, _ victim: Workload, _ runner: Runner) -> Bool {
        guard runner.isInHostNetwork, let program = victim.program else { return true }
        return workload(neighbour)?.program != program
    }

    private func condition(_ runner: Runner, _ allocation: LabAllocation) -> [(name: String, value: String)] {
        [("isolation", runner.name)] + (allocations.count > 1 ? [("allocation", allocation.rawValue)] : [])
    }

    /// Processes have no limits, and containers of a pod share its VM's cores: there only some allocations exist.
    private func isPossible(_ runner: Runner, _ allocation: LabAllocation) -> Bool {
        guard case .skala(let isolation) = runner else { return true }
        return switch isolation {
        case .process: allocation == allocations[0]
        case .pod: allocation != .dedicated || allocations.count == 1
        case .container, .microvm: true
        case .machine: allocation != .soft
        }
    }

    func trial(_ condition: Condition, of name: String, in bench: Bench) throws -> Trial {
        guard let workload = workload(name), let runner = condition.runner else {
            throw SkalaError(.invalid, "no workload '\(name)'")
        }
        let allocation = condition["allocation"].flatMap(LabAllocation.init) ?? allocations[0]
        let limit = bench.deadline(workload.deadline)
        let victim = try bench.instance(spec(workload, allocation, runner, role: "victim"), by: runner)
        defer { victim.remove() }
        guard let deadline = try victim.deadlineOnceUp(limit) else { return Trial(failure: "did not boot") }
        if let failure = try workload.makeReady(victim, deadline) { return Trial(failure: failure) }
        let kind = condition["neighbour"]
        let other = workload.neighbours.first { $0.kind.rawValue == kind }.flatMap { self.workload($0.workload) }
        guard let other else { return try WorkloadProcedure.work(workload, victim, deadline, bench) }
        return try beside(other, workload, runner, allocation, deadline, bench) {
            try WorkloadProcedure.work(workload, victim, $0, bench)
        }
    }

    /// Measures while a neighbour works: an instance of the same isolation and allocation, on the engine's defaults otherwise.
    private func beside(
        _ workload: Workload, _ victim: Workload, _ runner: Runner, _ allocation: LabAllocation,
        _ limit: Deadline, _ bench: Bench, _ body: (Deadline) throws -> Trial
    ) throws -> Trial {
        // A neighbour of one with cores of its own has the rest.
        let rest = allocation == .dedicated ? LabAllocation.shared : allocation
        var neighbour = spec(workload, rest, runner, role: "neighbour")
        if case .peer = runner, allocation == .dedicated {
            neighbour.processorSet = ProcessorSet.allBut(last: victim.processors)
        }
        // It takes what it can get: without a quota the whole host.
        if rest != .hard { neighbour.processors = Double(HostFacts.onlineCPUs) }
        if case .inside(let script) = workload.work {
            let copies = max(1, Int(neighbour.processors.rounded(.up)))
            let program = workload.program.map { "(\($0)) &\n" } ?? ""
            // It works until it is taken away, on each of its processors; one that fails ends, which is told.
            neighbour.program =
                program + "for copy in $(seq \(copies)); do while :; do (\n\(script)\n) || break; done & done; wait"
            neighbour.environment += ["DURATION=60", "TARGET=127.0.0.1"]
        }
        let instance = try bench.instance(neighbour, by: runner)
        defer { instance.remove() }
        guard let deadline = try instance.deadlineOnceUp(limit) else {
            return Trial(failure: "the neighbour \(workload.name) did not boot")
        }
        // Alone it would look as if its neighbour did no harm.
        if let failure = try workload.makeReady(instance, deadline) {
            return Trial(failure: "the neighbour \(workload.name) \(failure)")
        }
        let load = try startLoad(of: workload, on: instance, bench)
        defer { load?.stop() }
        try deadline.pause(settle)
        var trial = try body(deadline)
        // One that ended, as out of memory, disturbed for a part of the time only.
        if try !instance.isRunning() {
            trial.remarks.append("the neighbour ended meanwhile: \(instance.log().suffix(200))")
        }
        return trial
    }

    private func startLoad(
        of workload: Workload, on instance: any Instance, _ bench: Bench
    ) throws -> BackgroundLoad? {
        switch workload.work {
        case .requests(let load): return try BackgroundLoad(load, address: instance.address)
        case .outside(let script):
            return try BackgroundLoad(script: script, target: instance.address, image: workload.image, bench: bench)
        case .inside, nil: return nil
        }
    }

    private func spec(
        _ workload: Workload, _ allocation: LabAllocation, _ runner: Runner, role: String
    ) -> InstanceSpec {
        InstanceSpec(
            image: workload.image, program: workload.program, processors: workload.processors, memory: workload.memory,
            allocation: runner == .skala(.pod) && allocation == .dedicated ? .hard : allocation, role: role)
    }

    /// The work itself, measured.
    static func work(
        _ workload: Workload, _ instance: any Instance, _ deadline: Deadline, _ bench: Bench
    ) throws -> Trial {
        let environment = ["DURATION=\(max(1, workload.duration / 1_000_000_000))", "TARGET=\(instance.address)"]
        let execution: Execution
        switch workload.work {
        case .requests(let load):
            return try load.run(instance.address, duration: workload.duration, until: deadline)
        case .inside(let script):
            execution = try instance.execute(script, environment: environment, until: deadline)
        case .outside(let script):
            let client = try bench.instance(
                InstanceSpec(image: workload.image, allocation: .shared, role: "client"), isolation: .process)
            defer { client.remove() }
            execution = try client.execute(script, environment: environment, until: deadline)
        case nil: throw SkalaError(.invalid, "\(workload.name) measures nothing")
        }
        guard let status = execution.status else {
            return .unfinished(after: workload.deadline)
        }
        guard status == 0 else {
            return Trial(failure: "ended with status \(status): \(execution.output.suffix(300))")
        }
        var trial = Trial()
        for pattern in workload.measures {
            guard let value = pattern.value(in: execution) else {
                throw SkalaError(
                    .invalid,
                    "\(workload.name): no value of '\(pattern.measure.name)' in its output:\n\(execution.output.suffix(1000))"
                )
            }
            trial.values[pattern.measure.name] = value
        }
        return trial
    }
}
