import Base
public import Client

/// What is to be measured.
public struct RunOptions: Sendable {
    /// Paths of experiments' folders, in the order in which they are done.
    public var folders: [String] = []
    public var isQuick = false
    /// Loads take this part of their time.
    public var scale = 1.0
    /// Of the order of conditions.
    public var seed: UInt64 = 1
    /// Isolations and allocations that are measured; all where it is empty.
    public var isolations: Set<LabIsolation> = []
    public var allocations: Set<LabAllocation> = []
    /// Cases that are measured; all where it is empty.
    public var cases: Set<String> = []
    /// Other programs' containers as further columns, beside those that experiments name.
    public var peers: Set<Peer> = []
    /// Where peers' engines answer, if not at the usual place.
    public var peerSockets: [Peer: EngineAddress] = [:]
    /// Measures each condition twice, to be compared with itself: where there is no difference, none may be told.
    public var isAgainstItself = false
    /// Rounds of each condition instead of the experiments' own.
    public var rounds: Int?

    public init() {}

    var json: JSON {
        [
            "folders": JSON(folders), "quick": JSON(isQuick), "scale": JSON(scale), "seed": JSON(Int64(clamping: seed)),
            "againstItself": JSON(isAgainstItself),
            "isolations": JSON(isolations.map(\.rawValue).sorted()),
            "allocations": JSON(allocations.map(\.rawValue).sorted()), "cases": JSON(cases.sorted()),
            "peers": JSON(peers.map(\.rawValue).sorted()),
            "peerSockets": .object(
                JSONObject(
                    peerSockets.map { ($0.key.rawValue, JSON($0.value.path)) }.sorted { $0.0 < $1.0 })),
            "rounds": rounds.map { JSON($0) } ?? .null,
        ]
    }

    init(_ json: JSON) throws(SkalaError) {
        guard let folders = json["folders"].strings, let quick = json["quick"].bool, let seed = json["seed"].int else {
            throw SkalaError(.invalid, "the run does not say what it was to measure")
        }
        self.folders = folders
        isQuick = quick
        scale = json["scale"].double ?? 1
        self.seed = UInt64(clamping: seed)
        isolations = Set((json["isolations"].strings ?? []).compactMap(LabIsolation.init))
        allocations = Set((json["allocations"].strings ?? []).compactMap(LabAllocation.init))
        cases = Set(json["cases"].strings ?? [])
        peers = Set((json["peers"].strings ?? []).compactMap(Peer.init))
        for (name, path) in json["peerSockets"].stringPairs ?? [] {
            if let peer = Peer(rawValue: name) { peerSockets[peer] = EngineAddress(path: path) }
        }
        isAgainstItself = json["againstItself"].bool ?? false
        rounds = json["rounds"].int.map(Int.init)
    }
}
