/// Who runs an instance: Skala at one of its isolations, or a peer. The values of the factor `isolation`.
enum Runner: Sendable, Hashable {
    case skala(LabIsolation)
    case peer(Peer)

    /// Nil for a word that is neither.
    init?(_ name: String) {
        if let isolation = LabIsolation(rawValue: name) {
            self = .skala(isolation)
        } else if let peer = Peer(rawValue: name) {
            self = .peer(peer)
        } else {
            return nil
        }
    }

    var name: String {
        switch self {
        case .skala(let isolation): isolation.rawValue
        case .peer(let peer): peer.rawValue
        }
    }

    /// Its instances have one set of ports with each other, and with all of the host.
    var isInHostNetwork: Bool {
        switch self {
        case .skala(let isolation): isolation == .process
        case .peer(let peer): peer.isInHostNetwork
        }
    }
}

extension Condition {
    /// Who runs its instances; nil where that is not varied.
    var runner: Runner? { self["isolation"].flatMap { Runner($0) } }

    /// The peer whose figures these are; nil for ours.
    var peer: Peer? { self["isolation"].flatMap(Peer.init) }
}
