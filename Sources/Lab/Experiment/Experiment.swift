public import Base
import Kernel
import YAML

/// An experiment: a folder with `experiment.yaml`, and what that names. docs/lab.md describes the file.
public struct Experiment: Sendable {
    /// The folder's name.
    public let name: String
    public let folder: String
    public let title: String
    /// What it answers, for people.
    public let question: String
    /// What others found, to stand beside our figures.
    public let findings: [Finding]
    public let caveats: [String]
    public let images: [ImageRecipe]
    /// Other programs' containers that are measured wherever they are installed.
    public let peers: [Peer]
    public let rounds: Rounds
    let procedure: any Procedure

    /// What a study reports, and where ours stands in the results.
    public struct Finding: Sendable {
        /// Whose it is.
        public let source: String
        public let text: String
        /// Why ours may differ.
        public let remark: String?
        /// What it says of our figures, where that can be checked.
        public let expectations: [Expectation]
    }

    /// How often each condition is measured.
    public struct Rounds: Sendable, Hashable {
        public var least: Int
        public var most: Int
        /// It is enough when each measure's interval is at most so wide to either side, in relation to its median.
        public var precision: Double
        /// Rounds before that which do not count.
        public var warmUp: Int
        /// Nanoseconds a case may take; the round under way is finished.
        public var limit: Int64
    }

    static let fileName = "experiment.yaml"

    /// Reads an experiment.
    ///
    /// - Parameters:
    ///   - quick: with the shortened values of the file's `quick`.
    ///   - scale: loads take this part of their time.
    /// - Throws: `.notFound`, or `.invalid` naming file, line and column.
    public init(folder: String, quick: Bool, scale: Double = 1) throws(SkalaError) {
        let path = folder + "/" + Experiment.fileName
        let text: [UInt8]
        do { text = try FileContents.read(path, limit: 1 << 20) } catch {
            throw SkalaError(.notFound, "no experiment in \(folder): \(error.reason)", cause: error)
        }
        guard let root = try YAMLParser.parse(text, name: path) else { throw SkalaError(.invalid, "\(path): empty") }
        try self.init(YAMLValue(root), folder: folder, quick: quick, scale: scale)
    }

    init(_ root: YAMLValue, folder: String, quick: Bool, scale: Double = 1) throws(SkalaError) {
        name = String(folder.split(separator: "/").last ?? "")
        self.folder = folder
        let shared: Set<String> = [
            "title", "question", "findings", "caveats", "images", "procedure", "rounds", "quick",
        ]
        let spec = SpecReader(root, quick: quick ? root["quick"] : nil, scale: scale)
        let kind = try spec.required("procedure")
        guard let type = Procedures.all[try kind.string()] else {
            throw kind.fault("expected one of \(Procedures.all.keys.sorted().joined(separator: ", "))")
        }
        let own = type.takesPeers ? type.keys.union(["peers"]) : type.keys
        try root.allowOnly(shared.union(own))
        if let quick = root["quick"] { try quick.allowOnly(own.union(["rounds"])) }
        title = try spec.required("title").string()
        question = try spec.required("question").string()
        findings = try Experiment.findings(root["findings"])
        caveats = try root["caveats"]?.strings() ?? []
        images = try ImageRecipe.read(root["images"], folder: folder)
        peers = type.takesPeers ? try spec["peers"]?.words(Peer.self) ?? [] : []
        rounds = try Experiment.rounds(spec)
        procedure = try type.init(spec, images: Set(images.map(\.name)))
    }

    private static func findings(_ value: YAMLValue?) throws(SkalaError) -> [Finding] {
        var findings: [Finding] = []
        for element in try value?.elements() ?? [] {
            try element.allowOnly(["source", "text", "remark", "expect"])
            let spec = SpecReader(element, quick: nil)
            var expectations: [Expectation] = []
            for value in try spec["expect"]?.elements() ?? [] { expectations.append(try Expectation(value)) }
            findings.append(
                Finding(
                    source: try spec.required("source").string(), text: try spec.required("text").string(),
                    remark: try spec["remark"]?.string(), expectations: expectations))
        }
        return findings
    }

    private static func rounds(_ spec: SpecReader) throws(SkalaError) -> Rounds {
        var rounds = Rounds(least: 5, most: 10, precision: 0.05, warmUp: 0, limit: 1_800_000_000_000)
        // Quick values complete the others one by one.
        for value in [spec.root["rounds"], spec.quick?["rounds"]] {
            guard let value else { continue }
            try value.allowOnly(["min", "max", "precision", "warm-up", "limit"])
            if let least = try value["min"]?.integer(1...1000) {
                rounds.least = Int(least)
                rounds.most = max(rounds.most, rounds.least)
            }
            if let most = value["max"] { rounds.most = Int(try most.integer(Int64(rounds.least)...1000)) }
            if let precision = try value["precision"]?.share() { rounds.precision = precision }
            if let warmUp = try value["warm-up"]?.integer(0...100) { rounds.warmUp = Int(warmUp) }
            if let limit = try value["limit"]?.duration() { rounds.limit = limit }
        }
        return rounds
    }
}
