/// Another program that runs containers, as a further column beside Skala's isolations: a value of the factor `isolation`.
public enum Peer: String, Sendable, CaseIterable {
    case docker, podman, lxc, runc, crun

    /// Whether it is reached by the Docker Engine API, as ours is. The others are commands.
    var isEngine: Bool { self == .docker || self == .podman }

    /// The variable that names the socket of its engine, where it is not the usual one; nil for a command.
    public var socketVariable: String? { isEngine ? "SKALA_LAB_\(rawValue.uppercased())" : nil }

    /// What runs in the host's network has one set of ports with all others there.
    var isInHostNetwork: Bool { !isEngine }

    /// Processes its containers may have, which is our engine's default: theirs is no limit, and an experiment may hold a fork bomb.
    static let processLimit: Int64 = 4096

    /// What must be known to read the figures of peers.
    static func caveats(_ peers: [Peer]) -> [String] {
        func names(_ isMeant: (Peer) -> Bool) -> String? {
            let names = peers.filter(isMeant).map(\.rawValue)
            guard let last = names.last else { return nil }
            return names.count == 1 ? last : names.dropLast().joined(separator: ", ") + " and " + last
        }
        guard let all = names({ _ in true }) else { return [] }
        var caveats: [String] = []
        if let engines = names(\.isEngine) {
            caveats.append(
                "\(engines): measured through the API, as ours, in the network made by default: a bridge and firewall rules of its own. "
                    + "The same image, by the host's own configuration of storage and runtime.")
        }
        if let commands = names({ !$0.isEngine }) {
            caveats.append(
                "\(commands): the image's files below an overlay of each instance's own, in the host's network: requests go over the "
                    + "loopback interface, where ours pass a bridge. Making that overlay counts, a network there is none to make."
            )
        }
        caveats.append(
            "\(all): other programs' containers, beside ours. Each has at most \(processLimit) processes, as ours have, so that the host "
                + "stays safe; without that limit they would do worse beside a fork bomb. Cores of their own (dedicated) are a set of "
                + "cores that the lab keeps the neighbour off; nothing keeps the host's other programs off.")
        return caveats
    }
}
