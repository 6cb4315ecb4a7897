import Base
import Planning
import YAML

/// A piece of work, as a victim that is measured or as the neighbour that disturbs it.
struct Workload: Sendable {
    /// Who sends the requests, or does the work.
    enum Work: Sendable {
        /// A script in the instance.
        case inside(String)
        /// A script on the host, with the image's programs and the instance's address in TARGET.
        case outside(String)
        /// HTTP requests from the host.
        case requests(RequestLoad)
    }

    let name: String
    let title: String
    let image: String
    /// The main program: a script.
    let program: String?
    /// A script that succeeds when the instance is ready.
    let ready: String?
    /// A script that is run before the work that counts: what is done for the first time takes longer.
    let prepare: String?
    /// Nil for a neighbour whose program is all it does.
    let work: Work?
    let measures: [MeasurePattern]
    let processors: Double
    let memory: Int64
    /// Nanoseconds a trial's work is to take, in DURATION as seconds.
    let duration: Int64
    /// Nanoseconds after which it is given up.
    let deadline: Int64
    /// What its measures tell of, for the host's profile.
    let resource: Resource?
    let neighbours: [(kind: HostProfile.Neighbour, workload: String)]

    static let keys: Set<String> = [
        "title", "image", "program", "ready", "prepare", "run", "client", "requests", "measures", "cpus", "memory",
        "duration", "deadline", "resource", "neighbours",
    ]

    /// All of an experiment; of each, quick values take the place of single keys.
    static func all(_ spec: SpecReader, images: Set<String>) throws(SkalaError) -> [Workload] {
        let duration = try spec["duration"]?.positiveDuration() ?? 5_000_000_000
        var workloads: [Workload] = []
        for (name, value) in try SpecReader(spec.root, quick: nil).required("workloads").entries() {
            let quick = spec.quick?["workloads"]?[name]
            if let quick { try quick.allowOnly(keys) }
            workloads.append(try Workload(name, SpecReader(value, quick: quick), images: images, duration: duration))
        }
        return workloads
    }

    private init(_ name: String, _ spec: SpecReader, images: Set<String>, duration shared: Int64) throws(SkalaError) {
        let root = spec.root
        try root.allowOnly(Workload.keys)
        self.name = name
        title = try spec["title"]?.string() ?? name
        image = try spec.image(images)
        program = try spec["program"]?.string()
        ready = try spec["ready"]?.string()
        prepare = try spec["prepare"]?.string()
        work = try Workload.work(spec)
        measures = try root["measures"].map { (value) throws(SkalaError) in try MeasurePattern.read(value) } ?? []
        processors = try spec["cpus"]?.number() ?? 1
        memory = try spec["memory"]?.bytes() ?? 512 << 20
        duration = try spec["duration"]?.positiveDuration() ?? shared
        deadline = try spec["deadline"]?.positiveDuration() ?? max(60_000_000_000, duration * 10)
        resource = try spec["resource"].flatMap { (value) throws(SkalaError) in
            Resource(rawValue: try value.word(Resource.allCases.map(\.rawValue)))
        }
        var neighbours: [(HostProfile.Neighbour, String)] = []
        for (key, value) in try spec["neighbours"]?.entries() ?? [] {
            guard let kind = HostProfile.Neighbour(rawValue: key) else {
                throw value.fault("expected competing, orthogonal or adversarial, not '\(key)'")
            }
            neighbours.append((kind, try value.string()))
        }
        self.neighbours = neighbours
        guard work != nil || program != nil else {
            throw root.fault("one of 'program', 'run', 'client' and 'requests' is expected")
        }
    }

    private static func work(_ spec: SpecReader) throws(SkalaError) -> Work? {
        let given = ["run", "client", "requests"].filter { spec[$0] != nil }
        guard given.count <= 1 else { throw spec.root.fault("'\(given[0])' and '\(given[1])' exclude each other") }
        if let script = spec["run"] { return .inside(try script.string()) }
        if let script = spec["client"] { return .outside(try script.string()) }
        return try spec["requests"].map { (value) throws(SkalaError) in .requests(try RequestLoad(value)) }
    }

    /// Waits until an instance is ready for its work, and prepares that.
    ///
    /// - Returns: why it is not ready; nil when it is.
    func makeReady(
        _ instance: any Instance, environment: [String] = [], _ deadline: Deadline
    ) throws -> String? {
        if let ready, try !instance.isReady(ready, until: deadline) {
            return "was not ready \(self.deadline / 1_000_000_000) s after its start"
        }
        guard let prepare else { return nil }
        let prepared = try instance.execute(prepare, environment: environment, until: deadline)
        return prepared.status == 0 ? nil : "could not be prepared: \(prepared.output.suffix(300))"
    }

    /// What a trial of it finds.
    var allMeasures: [Measure] {
        if case .requests = work { return RequestLoad.measures }
        return measures.map(\.measure)
    }
}
