import Base
import Client
import Kernel
import YAML

/// How long an application takes from the request to its first answer.
struct StartProcedure: Procedure {
    static let keys: Set<String> = Application.keys.union(["isolations", "starts"])
    static let takesPeers = true

    /// The way an instance comes to be.
    enum Start: String, CaseIterable {
        /// As the engine does it by itself.
        case usual
        /// A VM that boots, instead of a clone of a template.
        case cold
        /// Beside another container in a pod that runs.
        case joined
        /// A copy of an instance that runs, with its memory where it has one of its own.
        case clone
    }

    let application: Application
    let isolations: [LabIsolation]
    let starts: [Start]
    private let measures = [
        Measure("answer", unit: "s", better: .lower), Measure("remove", unit: "s", better: .lower),
    ]

    init(_ spec: SpecReader, images: Set<String>) throws(SkalaError) {
        application = try Application(spec, images: images)
        isolations = try spec.required("isolations").words(LabIsolation.self)
        starts = try spec["starts"]?.words(Start.self) ?? [.usual]
    }

    func obstacles(_ scope: Scope) -> [String] {
        isolations.contains(.machine) && scope.isolations.contains(.machine) && application.program == nil
            ? ["isolation machine: a 'program' is needed, a disk has none of its own"] : []
    }

    func cases(_ scope: Scope) -> [Case] {
        var conditions: [Condition] = []
        for isolation in isolations where scope.isolations.contains(isolation) {
            for start in starts where isPossible(isolation, start) {
                conditions.append(Condition([("isolation", isolation.rawValue), ("start", start.rawValue)]))
            }
        }
        for peer in scope.peers {
            conditions.append(Condition([("isolation", peer.rawValue), ("start", Start.usual.rawValue)]))
        }
        return [
            Case(
                "start", title: "From the request to the first answer", conditions: conditions, measures: measures,
                base: ("isolation", LabIsolation.container.rawValue), expected: 1_500_000_000)
        ]
    }

    private func isPossible(_ isolation: LabIsolation, _ start: Start) -> Bool {
        switch (isolation, start) {
        case (.machine, .usual): application.program != nil
        case (.machine, _), (.process, .cold), (.process, .joined), (.process, .clone): false
        case (.container, .cold), (.container, .joined), (.microvm, .joined), (.pod, .clone), (.pod, .cold): false
        default: true
        }
    }

    func trial(_ condition: Condition, of name: String, in bench: Bench) throws -> Trial {
        let deadline = bench.deadline(90_000_000_000)
        var spec = application.instance
        if let peer = condition.peer {
            return try measure(deadline) { try bench.instance(spec, by: .peer(peer)) }
        }
        guard let isolation = condition["isolation"].flatMap(LabIsolation.init),
            let start = condition["start"].flatMap(Start.init)
        else { throw SkalaError(.invalid, "no such condition: \(condition)") }
        switch start {
        case .usual: break
        case .cold: spec.annotations.append(("skala.start", "cold"))
        case .clone: return try clone(spec, isolation, deadline, bench)
        case .joined: return try join(spec, deadline, bench)
        }
        return try measure(deadline) { try bench.instance(spec, isolation: isolation) }
    }

    /// Into a pod whose first container answers already; each on a port of its own, since they share the address.
    private func join(_ spec: InstanceSpec, _ deadline: Deadline, _ bench: Bench) throws -> Trial {
        let pod = bench.newName()
        var first = spec
        first.program = "exec sleep 1000000"
        first.usesImageCommand = false
        first.annotations.append(("skala.pod", pod))
        let neighbour = try bench.instance(first, isolation: .pod)
        defer { neighbour.remove() }
        var second = spec
        second.annotations.append(("skala.pod", pod))
        return try measure(deadline) { try bench.instance(second, isolation: .pod) }
    }

    private func clone(
        _ spec: InstanceSpec, _ isolation: LabIsolation, _ deadline: Deadline, _ bench: Bench
    ) throws -> Trial {
        let source = try bench.instance(spec, isolation: isolation)
        defer { source.remove() }
        guard let source = source as? ContainerInstance,
            try FirstAnswer.wait(for: source.address, port: application.port, until: deadline)
        else { return Trial(failure: "the instance to be copied did not answer") }
        return try measure(deadline) { try source.clone() }
    }

    private func measure(_ deadline: Deadline, _ make: () throws -> any Startable) throws -> Trial {
        let started = SystemClock.monotonicNanoseconds()
        let instance = try make()
        defer { instance.remove() }
        guard try FirstAnswer.wait(for: instance.address, port: application.port, until: deadline) else {
            return Trial(failure: "no answer: \(instance.log())")
        }
        let answered = SystemClock.monotonicNanoseconds()
        instance.remove()
        let removed = SystemClock.monotonicNanoseconds()
        return Trial(values: [
            "answer": Double(answered - started) / 1e9, "remove": Double(removed - answered) / 1e9,
        ])
    }
}
