public import Base
import Glibc
import Kernel

/// A run on the disk: `run.json` says what was done on what, `samples.jsonl` has one trial a line. Both are whole at any moment, so
/// that a run that is stopped, or dies, keeps what it measured. docs/lab.md describes the members.
public struct RunFolder: Sendable {
    public let path: String

    public init(_ path: String) { self.path = path }

    public var identifier: String { path.split(separator: "/").last.map(String.init) ?? path }
    /// Whether something of a run is there.
    public var exists: Bool { access(recordFile, F_OK) == 0 }
    var recordFile: String { path + "/run.json" }
    var samplesFile: String { path + "/samples.jsonl" }
    /// Where its report is written, when no other place is named.
    public var reportFile: String { path + "/report.html" }

    func write(_ record: JSON) throws(KernelError) {
        try FileContents.replace(recordFile, with: Array((record.pretty() + "\n").utf8))
    }

    func append(_ sample: Sample) throws(KernelError) {
        let file = try OwnedDescriptor.open(samplesFile, O_WRONLY | O_CREAT | O_APPEND, mode: 0o644)
        try FileContents.append(Array((sample.json.text + "\n").utf8), to: file.raw, samplesFile)
    }

    /// - Throws: `.notFound` when there is no run; `.invalid` when it cannot be read.
    public func read() throws(SkalaError) -> (record: JSON, samples: [Sample]) {
        let text: [UInt8]
        do { text = try FileContents.read(recordFile) } catch {
            throw SkalaError(.notFound, "no run in \(path): \(error.reason)", cause: error)
        }
        guard let record = try? JSON(parsing: text), record["version"] == 1 else {
            throw SkalaError(.invalid, "\(recordFile): not a run of the lab")
        }
        // A run that measured nothing yet has none.
        let lines = (try? FileContents.read(samplesFile, limit: 256 << 20)) ?? []
        var samples: [Sample] = []
        for line in lines.split(separator: 0x0A) {
            // The last line of a run that died may be cut.
            guard let json = try? JSON(parsing: Array(line)), let sample = Sample(json) else { continue }
            samples.append(sample)
        }
        return (record, samples)
    }

    /// The runs below a folder, the latest first.
    public static func all(in folder: String) -> [RunFolder] {
        // No folder, no runs.
        ((try? FileContents.names(in: folder)) ?? []).sorted(by: >)
            .filter { access("\(folder)/\($0)/run.json", R_OK) == 0 }.map { RunFolder("\(folder)/\($0)") }
    }
}

/// One trial, as it is kept.
public struct Sample: Sendable, Hashable {
    public let experiment: String
    public let name: String
    public let condition: Condition
    /// From 1 on; 0 and less for rounds that only warm up.
    public let round: Int
    /// When it began.
    public let started: Timestamp
    /// Nanoseconds, with all that is made and taken away for it.
    public let elapsed: Int64
    /// The share of processor time that a hypervisor gave to others meanwhile.
    public let stolen: Double
    public let trial: Trial

    var json: JSON {
        var json: JSON = [
            "experiment": JSON(experiment), "case": JSON(name),
            "condition": condition.json,
            "round": JSON(round), "started": JSON(started.text), "elapsed": JSON(Double(elapsed / 1_000_000) / 1e3),
            "stolen": Noise.rounded(stolen),
            "values": .object(JSONObject(trial.values.sorted { $0.key < $1.key }.map { ($0.key, JSON($0.value)) })),
        ]
        if let failure = trial.failure { json["failure"] = JSON(failure) }
        if trial.isUnfinished { json["unfinished"] = true }
        if trial.wasKilled { json["killed"] = true }
        if !trial.remarks.isEmpty { json["remarks"] = JSON(trial.remarks) }
        if !trial.series.isEmpty {
            json["series"] = .object(
                JSONObject(trial.series.sorted { $0.key < $1.key }.map { ($0.key, JSON($0.value.map { JSON($0) })) }))
        }
        return json
    }
}

extension Sample {
    /// Nil when it is not what `json` makes.
    init?(_ json: JSON) {
        guard let experiment = json["experiment"].string, let name = json["case"].string,
            let factors = json["condition"].stringPairs, let round = json["round"].int,
            let started = json["started"].string.flatMap({ try? Timestamp(parsing: $0) }),
            let elapsed = json["elapsed"].double
        else { return nil }
        var trial = Trial(failure: json["failure"].string)
        trial.isUnfinished = json["unfinished"].bool ?? false
        trial.wasKilled = json["killed"].bool ?? false
        for (key, value) in json["values"].object?.members ?? [] { trial.values[key] = value.double }
        for (key, value) in json["series"].object?.members ?? [] {
            trial.series[key] = value.array?.compactMap(\.double)
        }
        trial.remarks = json["remarks"].strings ?? []
        self.init(
            experiment: experiment, name: name, condition: Condition(factors.map { ($0.key, $0.value) }),
            round: Int(round), started: started, elapsed: Int64(elapsed * 1e9), stolen: json["stolen"].double ?? 0,
            trial: trial)
    }
}
