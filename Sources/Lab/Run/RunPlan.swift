import Base
import Client
import Glibc
import Kernel
import Planning

/// What a run will measure, decided before anything starts.
public struct RunPlan: Sendable {
    public struct Step: Sendable {
        public let experiment: Experiment
        public let cases: [Case]

        /// Whether disks of its images are needed.
        var hasMachines: Bool { cases.contains(where: \.hasMachines) }

        /// Those of its columns that others run.
        public var peers: [Peer] {
            let used = Set(cases.flatMap(\.conditions).compactMap(\.peer))
            return Peer.allCases.filter(used.contains)
        }
    }

    public private(set) var steps: [Step] = []
    /// What cannot be measured, and why.
    public private(set) var obstacles: [String] = []

    /// The peers that are measured.
    private(set) var peers: [UsablePeer] = []

    /// - Throws: `.notFound` or `.invalid` for the first experiment that is wrong; `.invalid` when nothing can be measured.
    init(_ options: RunOptions, client: EngineClient) throws {
        let experiments = try options.folders.map {
            try Experiment(folder: $0, quick: options.isQuick, scale: options.scale)
        }
        var scope = try scope(options, client)
        if let obstacle = MachineDiskMaker.obstacle,
            experiments.contains(where: { $0.procedure.cases(scope).contains(where: \.hasMachines) })
        {
            scope.isolations.remove(.machine)
            obstacles.append(obstacle)
        }
        findPeers(of: experiments, options)
        for experiment in experiments {
            if let obstacle = experiment.images.lazy.compactMap(ImageMaker.obstacle).first {
                obstacles.append("\(experiment.name): \(obstacle)")
                continue
            }
            let scope = scope.with(columns(of: experiment, options, scope))
            obstacles += experiment.procedure.obstacles(scope).map { "\(experiment.name): \($0)" }
            var cases = experiment.procedure.cases(scope)
            let known = cases.map(\.name)
            if !options.cases.isEmpty { cases = cases.filter { options.cases.contains($0.name) } }
            cases = cases.filter { !$0.conditions.isEmpty }
            if options.isAgainstItself { cases = cases.map(\.againstItself) }
            if cases.isEmpty {
                obstacles.append(
                    "\(experiment.name): nothing of it was asked for or is possible (cases: \(known.joined(separator: ", ")))"
                )
            } else {
                steps.append(Step(experiment: experiment, cases: cases))
            }
        }
        let used = Set(steps.flatMap(\.peers))
        peers.removeAll { !used.contains($0.peer) }
        guard !steps.isEmpty else {
            throw SkalaError(.invalid, "nothing to measure: " + obstacles.joined(separator: "; "))
        }
    }

    /// Looks for all peers that are wanted, each once.
    private mutating func findPeers(of experiments: [Experiment], _ options: RunOptions) {
        let wanted = options.peers.union(experiments.flatMap(\.peers))
        for peer in Peer.allCases where wanted.contains(peer) {
            switch PeerHost.look(for: peer, socket: options.peerSockets[peer]) {
            case .usable(let found): peers.append(found)
            case .obstacle(let text): obstacles.append("peer " + text)
            }
        }
    }

    /// The peers that are columns of an experiment: those that were asked for, and its own, which are containers, too.
    private mutating func columns(of experiment: Experiment, _ options: RunOptions, _ scope: Scope) -> [Peer] {
        guard type(of: experiment.procedure).takesPeers else {
            if !options.peers.isEmpty { obstacles.append("\(experiment.name): peers cannot do what it measures") }
            return []
        }
        let own = scope.isolations.contains(.container) ? experiment.peers : []
        let wanted = options.peers.union(own)
        return peers.map(\.peer).filter(wanted.contains)
    }

    /// A run that goes on measures what it began with.
    ///
    /// - Parameter record: of the run; of one that begins there is none.
    /// - Throws: `.conflict` when an experiment has changed meanwhile.
    func refuseChanges(since record: JSON) throws {
        for step in steps {
            let name = step.experiment.name
            let before = (record["experiments"].array ?? []).first { $0["name"].string == name }?["fingerprint"].string
            guard let before, before != (try step.experiment.fingerprint()) else { continue }
            throw SkalaError(
                .conflict,
                "\(name): its \(Experiment.fileName), or an image's recipe, has changed since the run began: what is measured now would not belong to what is there. Begin a new run"
            )
        }
    }

    /// What this host and its engine can do of what was asked for.
    private mutating func scope(_ options: RunOptions, _ client: EngineClient) throws -> Scope {
        var isolations = options.isolations.isEmpty ? Set(LabIsolation.allCases) : options.isolations
        // The engine has seen a VM, or there is what it makes them with.
        let hasMachines =
            try client.json(.get("/info"))["Accelerator"].string != nil || HostProgram.find("qemu-system-x86_64") != nil
        for isolation in [LabIsolation.pod, .microvm, .machine] where !hasMachines {
            if isolations.remove(isolation) != nil {
                obstacles.append("isolation \(isolation.rawValue): QEMU is not installed (see 'skala doctor')")
            }
        }
        if isolations.contains(.process), geteuid() != 0 {
            isolations.remove(.process)
            obstacles.append("isolation process: running programs in an image's files needs root")
        }
        return Scope(
            isolations: isolations,
            allocations: options.allocations.isEmpty ? Set(LabAllocation.allCases) : options.allocations,
            processors: HostFacts.onlineCPUs, memory: HostFacts.memoryBytes, cases: options.cases,
            profile: try HostProfile.stored(client), fenceObstacle: Fence.obstacle())
    }
}

extension RunPlan.Step {
    /// As `run.json` keeps it.
    func json(rounds: Experiment.Rounds) throws -> JSON {
        [
            "name": JSON(experiment.name), "fingerprint": JSON(try experiment.fingerprint()),
            "title": JSON(experiment.title), "question": JSON(experiment.question),
            "caveats": JSON(experiment.caveats + Peer.caveats(peers)),
            "findings": JSON(
                experiment.findings.map {
                    [
                        "source": JSON($0.source), "text": JSON($0.text), "remark": JSON($0.remark),
                        "expect": JSON($0.expectations.map(\.json)),
                    ]
                }),
            "rounds": [
                "min": JSON(rounds.least), "max": JSON(rounds.most), "precision": JSON(rounds.precision),
                "warm-up": JSON(rounds.warmUp),
            ],
            "cases": JSON(cases.map(\.json)),
        ]
    }
}

extension Case {
    /// As `run.json` keeps it.
    var json: JSON {
        [
            "name": JSON(name), "title": JSON(title), "resource": JSON(resource?.rawValue),
            "base": [JSON(base.name), JSON(base.value)], "measures": JSON(measures.map(\.json)),
            "conditions": JSON(conditions.map(\.json)),
        ]
    }
}
