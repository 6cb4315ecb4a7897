import Base

/// How a container is given its resources: the annotation `skala.allocation`.
///
/// - `dedicated`: cores of its own, kept free of all other containers, and its memory limit reserved.
/// - `shared`: a weight and a soft limit; it may burst to the hard limit. The default.
/// - `bestEffort`: what the others leave, and reclaimed before any of them.
public enum Allocation: String, Sendable, CaseIterable {
    case dedicated
    case shared
    case bestEffort = "best-effort"

    static let annotation = "skala.allocation"

    /// - Throws: `.invalid` naming the value.
    init(_ host: JSON) throws(SkalaError) {
        guard let text = host["Annotations"][Allocation.annotation].string else {
            self = .shared
            return
        }
        guard let value = Allocation(rawValue: text) else {
            let known = Allocation.allCases.map(\.rawValue).joined(separator: ", ")
            throw SkalaError(.invalid, "invalid annotation \(Allocation.annotation)=\(text): expected \(known)")
        }
        self = value
    }

    /// Completes `linux.resources` for the mode.
    ///
    /// The kernel divides CPU by weight, and reclaims first where the soft limit is exceeded most: 0 is exceeded always.
    func adjust(_ resources: inout JSON, cores: CPUSet?) {
        if let cores { resources["cpu"]["cpus"] = JSON(cores.description) }
        switch self {
        case .dedicated:
            if let limit = resources["memory"]["limit"].int { resources["memory"]["reservation"] = JSON(limit) }
        case .shared: break
        case .bestEffort:
            resources["cpu"]["shares"] = 2
            resources["memory"]["reservation"] = .null
        }
    }

    /// `oom_score_adj` where the user set none: best-effort is killed first, dedicated after all others.
    var oomScoreAdjustment: Int64 {
        switch self {
        case .dedicated: -500
        case .shared: 0
        case .bestEffort: 900
        }
    }
}

/// Which cores belong to whom. Pure.
struct CoreAllocator {
    let online: CPUSet
    private(set) var dedicated: [String: CPUSet] = [:]

    init(online: CPUSet) { self.online = online }

    /// The cores nobody has for himself.
    var common: CPUSet { dedicated.values.reduce(online) { $0.subtracting($1) } }

    /// Gives a container cores of its own, the highest first: the lowest take most of the host's interrupts.
    ///
    /// - Parameter wanted: the cores the user named, or nil for any.
    /// - Throws: `.exhausted` when too few are free, or none would be left for all others.
    mutating func claim(_ id: String, count: Int, wanted: CPUSet?) throws(SkalaError) -> CPUSet {
        if let held = dedicated[id] { return held }
        let free = wanted.map { common.intersection($0) } ?? common
        let chosen = CPUSet(free.cores.suffix(count))
        guard chosen.cores.count == count, common.cores.count > count else {
            throw SkalaError(
                .exhausted,
                "allocation dedicated: \(count) cores wanted, \(max(0, common.cores.count - 1)) can be given away "
                    + "(of \(online.cores.count), one stays for all others)")
        }
        dedicated[id] = chosen
        return chosen
    }

    /// Takes over what a container holds already.
    mutating func adopt(_ id: String, _ cores: CPUSet) { dedicated[id] = cores }

    /// - Returns: whether it held any.
    mutating func release(_ id: String) -> Bool { dedicated.removeValue(forKey: id) != nil }

    /// The cores of a container without cores of its own; nil while nobody has any and it named none.
    func shared(wanted: CPUSet?) -> CPUSet? {
        guard !dedicated.isEmpty else { return wanted }
        guard let wanted else { return common }
        let left = wanted.intersection(common)
        // All of the cores it named are another's by now: the common ones, rather than none.
        return left.isEmpty ? common : left
    }
}
