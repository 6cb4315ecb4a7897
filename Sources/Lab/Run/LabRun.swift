import Base
public import Client
import Glibc
import Kernel

/// Measures: in each round all cases, and each case's conditions in turn, in new random orders, until their intervals are small.
public final class LabRun {
    /// What is under way, for people.
    public struct Progress: Sendable {
        public let text: String
        /// Trials done, and those that are expected in all.
        public let done: Int
        public let expected: Int
        /// Nanoseconds.
        public let left: Int64
    }

    public let folder: RunFolder
    public let plan: RunPlan
    public let options: RunOptions
    private let client: EngineClient
    private let bench: Bench
    private let home: String
    private let isStopped: () -> Bool
    private let show: (Progress) -> Void
    private var record: JSON
    private var done: [Sample] = []
    /// Of the run that is continued.
    private var before: JSON = .null
    private var pace: Pace
    /// What could not be measured although it was planned, and why.
    public private(set) var obstacles: [String] = []

    /// - Parameters:
    ///   - home: the lab's folder, which holds `runs` and the files of images.
    ///   - resuming: the run to be continued, whose options count then, but for a number of rounds.
    ///   - isStopped: asked all the time; what has been measured is kept.
    /// - Throws: before anything is measured, when nothing can be.
    public init(
        _ options: RunOptions, home: String, resuming: RunFolder? = nil, client: EngineClient,
        isStopped: @escaping () -> Bool, show: @escaping (Progress) -> Void
    ) throws {
        var options = options
        if let resuming {
            let (record, samples) = try resuming.read()
            guard record["state"] != "complete" || options.rounds != nil else {
                throw SkalaError(
                    .conflict, "run \(resuming.identifier) is complete; a number of rounds (--rounds) adds to it")
            }
            let rounds = options.rounds
            options = try RunOptions(record["options"])
            options.rounds = rounds ?? options.rounds
            done = samples
            before = record
            folder = resuming
        } else {
            folder = RunFolder("\(home)/runs/\(LabRun.identifier())")
        }
        self.options = options
        self.home = home
        self.client = client
        self.isStopped = isStopped
        self.show = show
        plan = try RunPlan(options, client: client)
        try plan.refuseChanges(since: before)
        bench = Bench(
            client: client, run: folder.identifier, scratch: folder.path + "/scratch",
            peers: Peers(plan.peers, home: home, scratch: folder.path + "/scratch"), isStopped: isStopped)
        bench.seed = options.seed
        record = [:]
        pace = Pace()
        for step in plan.steps { pace.add(step, rounds(step.experiment)) }
        for sample in done { pace.take(sample.experiment, sample.name, sample.elapsed) }
    }

    /// The time, so that names sort: `20261126-094512`.
    private static func identifier() -> String {
        let text = SystemClock.now().text.prefix(19).filter { $0.isNumber }
        return "\(text.prefix(8))-\(text.suffix(6))"
    }

    private func rounds(_ experiment: Experiment) -> Experiment.Rounds {
        var rounds = experiment.rounds
        if let count = options.rounds { (rounds.least, rounds.most, rounds.limit) = (count, count, .max) }
        return rounds
    }

    // MARK: the run

    /// Does all of it.
    ///
    /// - Returns: whether it came to its end; false when the user stopped it.
    public func run() throws -> Bool {
        try FileContents.makeDirectories(home)
        let locks = try LabRun.lock(home, client.address)
        defer { for lock in locks { lock.close() } }
        try Bench.removeLeftovers(client)
        try FileContents.makeDirectories(bench.scratch, mode: 0o700)
        // What cannot be removed is a few small files in the run's folder.
        defer { try? FileContents.removeTree(bench.scratch) }
        try bench.peers.open(until: bench.deadline(60_000_000_000))
        defer { bench.peers.close() }
        record = try firstRecord()
        tellFailuresOfPeers()
        try folder.write(record)
        do {
            for step in plan.steps { try measure(step) }
            try end("complete")
            return true
        } catch let error as SkalaError where error.code == .cancelled {
            try end("stopped")
            return false
        } catch {
            // The error that ended it is the one to tell; without an engine nothing can be removed either.
            try? end("failed")
            throw (error as? KernelError)?.asSkalaError ?? error
        }
    }

    /// Runs would measure, and remove, each other: there is one of an engine, and one of a lab's folder.
    static func lock(_ home: String, _ engine: EngineAddress) throws -> [OwnedDescriptor] {
        let folder = engine.path.split(separator: "/").dropLast().map { "/" + $0 }.joined()
        return try [home, folder.isEmpty ? "/" : folder].map { try LabHome.lock($0) }
    }

    private func firstRecord() throws -> JSON {
        show(pace.progress("looking at the host"))
        let started = before["started"].string ?? SystemClock.now().text
        return [
            "version": 1, "id": JSON(folder.identifier), "state": "running", "started": JSON(started),
            "options": options.json, "host": try HostRecord.read(client, plan.peers),
            "noise": ["before": try Noise.probe(until: bench.deadline(10_000_000_000))],
            "obstacles": JSON(plan.obstacles),
            "images": before["images"].isNull ? [:] : before["images"],
            "experiments": JSON(try plan.steps.map { try $0.json(rounds: rounds($0.experiment)) }),
        ]
    }

    private func end(_ state: String) throws {
        record["state"] = JSON(state)
        record["ended"] = JSON(SystemClock.now().text)
        // First of all: an engine that has gone cannot be asked for the rest.
        try folder.write(record)
        try Bench.removeLeftovers(client)
        // The engine knows what its VMs run on once there was one.
        record["host"]["accelerator"] = try client.json(.get("/info"))["Accelerator"]
        if state == "complete" {
            record["noise"]["after"] = try Noise.probe(until: bench.deadline(10_000_000_000))
        }
        try folder.write(record)
    }

    private func measure(_ step: RunPlan.Step) throws {
        let maker = ImageMaker(
            client: client, roots: "\(home)/images", scratch: bench.scratch, isStopped: isStopped
        ) { [self] text in show(pace.progress(text)) }
        bench.images = [:]
        do {
            for recipe in step.experiment.images { try prepare(recipe, maker, step.peers) }
            if step.hasMachines { try prepareDisks(step.experiment.name) }
        } catch {
            // Without its images an experiment cannot be done; the others can.
            guard !isStopped(), isEngineThere() else { throw error }
            tell(step.experiment.name, error)
            for item in step.cases { pace.end(step.experiment.name, item.name) }
            return try folder.write(record)
        }
        try folder.write(record)
        try measureCases(of: step)
    }

    private func tell(_ obstacle: String) {
        obstacles.append(obstacle)
        record["obstacles"] = JSON((record["obstacles"].array ?? []) + [JSON(obstacle)])
    }

    private func tell(_ what: String, _ error: any Error) {
        tell("\(what): \((error as? KernelError)?.asSkalaError.message ?? "\(error)")")
    }

    /// Of those that were there when the run was planned.
    private func tellFailuresOfPeers() {
        for (peer, failure) in bench.peers.failures.sorted(by: { $0.key.rawValue < $1.key.rawValue }) {
            let obstacle = "peer \(peer): \(failure)"
            if !obstacles.contains(obstacle) { tell(obstacle) }
        }
    }

    private func prepare(_ recipe: ImageRecipe, _ maker: ImageMaker, _ peers: [Peer]) throws {
        let image = try maker.prepare(recipe)
        bench.images[recipe.name] = image
        note(image)
        guard !peers.isEmpty else { return }
        maker.tell("giving the image '\(recipe.name)' to \(peers.map(\.rawValue).joined(separator: ", "))")
        try bench.peers.prepare(image, for: peers, from: client, until: bench.deadline(600_000_000_000))
        tellFailuresOfPeers()
    }

    /// The same images as disks of machines. What cannot be made is told, and the other isolations are measured.
    private func prepareDisks(_ experiment: String) throws {
        let maker = MachineDiskMaker(
            client: client, folder: LabHome(home).machines, scratch: bench.scratch, isStopped: isStopped
        ) { [self] text in show(pace.progress(text)) }
        for image in bench.images.values {
            do {
                let disk = try maker.prepare(image)
                image.disk = disk
                note(disk)
            } catch {
                guard !isStopped(), isEngineThere() else { throw error }
                tell("\(experiment): isolation machine", error)
            }
        }
    }

    private func note(_ image: PreparedImage) {
        // Of one that was there already it is not known how long it took.
        guard record["images"][image.reference].isNull || image.made != nil else { return }
        record["images"][image.reference] = [
            "size": JSON(image.size), "made": image.made.map { JSON(Double($0) / 1e9) } ?? .null,
        ]
    }

    /// Rounds of all its cases, so that those of a case are spread over the whole time: what drifts meanwhile is in its interval, and a
    /// later run's median too.
    private func measureCases(of step: RunPlan.Step) throws {
        let (experiment, rounds) = (step.experiment, rounds(step.experiment))
        var open = step.cases.map { item in
            CaseSamples(item, done.filter { $0.experiment == experiment.name && $0.name == item.name })
        }
        for round in (1 - rounds.warmUp)...rounds.most {
            for index in open.indices.reversed() where open[index].isEnough(rounds, before: round) {
                pace.end(experiment.name, open.remove(at: index).item.name)
            }
            var random = SeededOrder(seed: options.seed, round: round, name: experiment.name)
            for index in random.shuffled(Array(open.indices)) { try measure(round, of: &open[index], experiment) }
        }
        for results in open { pace.end(experiment.name, results.item.name) }
    }

    private func measure(_ round: Int, of results: inout CaseSamples, _ experiment: Experiment) throws {
        let item = results.item
        var random = SeededOrder(seed: options.seed, round: round, name: "\(experiment.name)/\(item.name)")
        for condition in random.shuffled(item.conditions) where !results.has(condition, round) {
            // One that did not finish twice will not the third time, and takes the longest of all.
            if results.failures(of: condition) >= 2 { continue }
            let sample = try trial(condition, round, item, experiment)
            try folder.append(sample)
            results.add(sample)
        }
    }

    private func trial(_ condition: Condition, _ round: Int, _ item: Case, _ experiment: Experiment) throws -> Sample {
        let what = "\(experiment.name) · \(item.name) · \(condition) · round \(round)"
        show(pace.progress(what))
        let started = SystemClock.now()
        let clock = SystemClock.monotonicNanoseconds()
        let noise = Noise()
        bench.round = round
        let trial: Trial
        do {
            trial = try experiment.procedure.trial(condition, of: item.name, in: bench)
        } catch let error as SkalaError where error.code == .cancelled {
            throw error
        } catch let error as SkalaError where error.code == .unavailable && !isEngineThere() {
            throw error
        } catch {
            // A condition that cannot be measured does not take the others with it.
            trial = Trial(failure: "\((error as? KernelError)?.asSkalaError.message ?? "\(error)")")
        }
        let elapsed = SystemClock.monotonicNanoseconds() - clock
        pace.take(experiment.name, item.name, elapsed)
        return Sample(
            experiment: experiment.name, name: item.name, condition: condition, round: round, started: started,
            elapsed: elapsed, stolen: noise.stolen, trial: trial)
    }

    /// Its answer is no document.
    private func isEngineThere() -> Bool { (try? client.send(.get("/_ping")).all()) != nil }
}
