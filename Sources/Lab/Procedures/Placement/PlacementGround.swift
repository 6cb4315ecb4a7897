import Base
import Glibc
import Kernel
import Planning
import Synchronization

/// What the tasks of an experiment do alone on a node, and beside each other there: the profile of such a node.
final class PlacementGround: Sendable {
    /// What placements are decided and judged by.
    struct Figures: Sendable {
        /// By workload: what it says when it is alone on a node.
        var alone: [String: Double]
        var profile: HostProfile
        /// The profile in words.
        var remark: String

        /// What a task got done in relation to what it does alone.
        func share(_ value: Double, of name: String, isHigherBetter: Bool) -> Double {
            let alone = alone[name] ?? 0
            return isHigherBetter ? (alone > 0 ? value / alone : 0) : (value > 0 ? alone / value : 0)
        }
    }

    enum Outcome {
        case known(Figures)
        /// One that does not finish even alone cannot be compared with anything.
        case unfinished(Workload)
    }

    private struct State {
        var figures: [LabIsolation: Figures] = [:]
        /// That `alone` was measured in.
        var round: [LabIsolation: Int] = [:]
    }

    private let workloads: [Workload]
    private let rounds: Int
    private let state = Mutex(State())

    /// - Parameter rounds: how often each is measured for the profile.
    init(_ workloads: [Workload], rounds: Int) {
        self.workloads = workloads
        self.rounds = rounds
    }

    /// The profile is measured when it is first asked for; what each does alone anew in each round.
    func figures(_ nodes: PlacementNodes, round: Int) throws -> Outcome {
        let isolation = nodes.isolation
        let (known, last) = state.withLock { ($0.figures[isolation], $0.round[isolation]) }
        if let known, last == round { return .known(known) }
        var figures: Figures
        if var known {
            for workload in workloads {
                // Each node in turn: the first processors take most of the host's interrupts.
                let node = abs(round) % nodes.shares.count
                guard let value = try nodes.run([(workload, node)])?.first else { return .unfinished(workload) }
                known.alone[workload.name] = value
            }
            figures = known
        } else {
            var samples: [Sample] = []
            for pass in 1...rounds {
                for workload in workloads {
                    guard let sample = try alone(workload, nodes, pass) else { return .unfinished(workload) }
                    samples.append(sample)
                }
                samples += try pairs(nodes, pass)
            }
            figures = self.figures(samples, isolation, run: nodes.bench.run)
        }
        state.withLock {
            $0.figures[isolation] = figures
            $0.round[isolation] = round
        }
        return .known(figures)
    }

    private func alone(_ workload: Workload, _ nodes: PlacementNodes, _ pass: Int) throws -> Sample? {
        try nodes.run([(workload, pass % nodes.shares.count)])?.first.map {
            sample(workload, nil, pass, nodes.isolation, Trial(values: [workload.measures[0].measure.name: $0]))
        }
    }

    /// Each beside each on one node, itself included. Several neighbours of a kind are taken together.
    private func pairs(_ nodes: PlacementNodes, _ pass: Int) throws -> [Sample] {
        var found: [Int: [HostProfile.Neighbour: [Double?]]] = [:]
        for left in workloads.indices {
            for right in left..<workloads.count {
                let (one, other) = (workloads[left], workloads[right])
                let node = pass % nodes.shares.count
                let values = try nodes.run([(one, node), (other, node)])
                let kind: HostProfile.Neighbour = one.resource == other.resource ? .competing : .orthogonal
                found[left, default: [:]][kind, default: []].append(values?[0])
                found[right, default: [:]][kind, default: []].append(values?[1])
            }
        }
        return found.sorted { $0.key < $1.key }.flatMap { index, kinds in
            kinds.sorted { $0.key.rawValue < $1.key.rawValue }.map { kind, values in
                let workload = workloads[index]
                let finished = values.compactMap { $0 }
                let trial: Trial =
                    finished.count < values.count
                    ? .unfinished(after: workload.deadline)
                    : Trial(values: [workload.measures[0].measure.name: PlacementGround.mean(finished)])
                return sample(workload, kind, pass, nodes.isolation, trial)
            }
        }
    }

    /// The geometric one.
    private static func mean(_ values: [Double]) -> Double {
        exp(values.reduce(0) { $0 + log(max($1, .leastNormalMagnitude)) } / Double(max(1, values.count)))
    }

    // MARK: the profile

    private static let experiment = "node"

    private func condition(_ isolation: LabIsolation, _ neighbour: HostProfile.Neighbour?) -> Condition {
        Condition([
            ("isolation", isolation.rawValue), ("allocation", "shared"), ("neighbour", neighbour?.rawValue ?? "none"),
        ])
    }

    private func sample(
        _ workload: Workload, _ neighbour: HostProfile.Neighbour?, _ pass: Int, _ isolation: LabIsolation,
        _ trial: Trial
    ) -> Sample {
        Sample(
            experiment: PlacementGround.experiment, name: workload.name, condition: condition(isolation, neighbour),
            round: pass, started: SystemClock.now(), elapsed: 0, stolen: 0, trial: trial)
    }

    /// As a run of the lab makes a host's profile: with the same rule for what is proved.
    private func figures(_ samples: [Sample], _ isolation: LabIsolation, run: String) -> Figures {
        let cases = workloads.map { workload in
            Case(
                workload.name, title: workload.title,
                conditions: ([nil, .competing, .orthogonal] as [HostProfile.Neighbour?])
                    .map { condition(isolation, $0) }
                    .filter { condition in samples.contains { $0.name == workload.name && $0.condition == condition } },
                measures: [workload.measures[0].measure], base: ("neighbour", "none"), resource: workload.resource,
                expected: 0)
        }
        let record: JSON = [
            "id": JSON(run), "state": "complete", "started": JSON(SystemClock.now().text),
            "options": ["quick": false, "rounds": .null],
            "experiments": [["name": JSON(PlacementGround.experiment), "cases": JSON(cases.map(\.json))]],
        ]
        let profile = ProfileMaker(RunResults(record, samples)).profile
        var alone: [String: Double] = [:]
        for workload in workloads {
            let values = samples.filter { $0.name == workload.name && $0.condition["neighbour"] == "none" }
            alone[workload.name] = PlacementGround.mean(
                values.compactMap { $0.trial.values[workload.measures[0].measure.name] })
        }
        return Figures(alone: alone, profile: profile, remark: PlacementGround.text(profile))
    }

    /// A profile in words: `cpu −52 % beside its like`.
    static func text(_ profile: HostProfile) -> String {
        let losses = profile.entries.filter { $0.key.kind == .loss }.map { entry in
            let percent = entry.value.map { Int(($0 * 100).rounded()) }
            let change = percent.map { $0 < 0 ? "+\(-$0) %" : "−\($0) %" } ?? "did not finish"
            let neighbour = entry.key.neighbour == .competing ? "its like" : "the others"
            return "\(entry.key.resource?.rawValue ?? "") \(change) beside \(neighbour)"
                + (entry.isProved ? "" : " (not proved)")
        }
        return "the profile was measured on a node: " + losses.joined(separator: ", ")
    }
}
