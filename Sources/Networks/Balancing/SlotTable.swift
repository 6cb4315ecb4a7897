import Base
import Glibc

/// Which member gets the connection that falls on a slot: the kernel counts, draws or hashes a slot's number, and looks
/// its address up.
enum SlotTable {
    /// Of a source hash: a member of eight has its share of them, give or take a sixth (standard deviation); more would make
    /// changes slow. Constant, so that a change of members moves nobody else's clients.
    static let hashSlots = 256
    /// What weights are rounded to when they have no small common measure.
    static let limit = 1024

    struct Member: Sendable {
        let address: IPAddress
        /// With 0 it has no slots.
        var weight = 1
        /// As `BalancedMember.key`.
        var key = ""
    }

    /// - Parameter members: in any order.
    /// - Returns: the slots' addresses; none without members. The same for the same members.
    static func slots(_ members: [Member], _ algorithm: BalancingAlgorithm) -> [IPAddress] {
        let members = members.filter { $0.weight > 0 }.sorted { $0.address < $1.address }
        guard !members.isEmpty else { return [] }
        return algorithm == .sourceHash ? rendezvous(members) : interleaved(members)
    }

    /// Smooth weighted round robin: each member as often as its weight says, as evenly spread as possible.
    private static func interleaved(_ members: [Member]) -> [IPAddress] {
        var weights = members.map(\.weight)
        let divisor = weights.reduce(0, gcd)
        weights = weights.map { $0 / divisor }
        let sum = weights.reduce(0.0) { $0 + Double($1) }
        if sum > Double(limit) { weights = weights.map { max(1, Int((Double($0) * Double(limit) / sum).rounded())) } }
        let total = weights.reduce(0, +)
        var credit = weights.map { _ in 0 }
        return (0..<total).map { _ in
            var chosen = 0
            for index in credit.indices {
                credit[index] += weights[index]
                if credit[index] > credit[chosen] { chosen = index }
            }
            credit[chosen] -= total
            return members[chosen].address
        }
    }

    private static func gcd(_ a: Int, _ b: Int) -> Int { b == 0 ? a : gcd(b, a % b) }

    /// Each slot goes to the member with the highest score (weighted rendezvous hashing: Schindelhauer and Schomaker,
    /// "Weighted distributed hash tables", 2005).
    private static func rendezvous(_ members: [Member]) -> [IPAddress] {
        let seeds = members.map(seed)
        return (0..<hashSlots).map { slot in
            var best = (score: -Double.infinity, address: members[0].address)
            for (member, seed) in zip(members, seeds) {
                let unit = (Double(mixed(seed ^ UInt64(slot)) >> 11) + 0.5) / Double(UInt64(1) << 53)
                let score = -Double(member.weight) / log(unit)
                if score > best.score { best = (score, member.address) }
            }
            return best.address
        }
    }

    /// Of its key, or its address: 64 bits that look drawn.
    private static func seed(_ member: Member) -> UInt64 {
        guard member.key.isEmpty else { return member.key.utf8.reduce(0) { mixed($0 ^ UInt64($1)) } }
        let low = UInt64(truncatingIfNeeded: member.address.value)
        let high = UInt64(truncatingIfNeeded: member.address.value >> 64)
        return mixed(mixed(high) ^ low)
    }

    /// The finaliser of SplitMix64.
    private static func mixed(_ number: UInt64) -> UInt64 {
        var number = number &+ 0x9E37_79B9_7F4A_7C15
        number = (number ^ (number >> 30)) &* 0xBF58_476D_1CE4_E5B9
        number = (number ^ (number >> 27)) &* 0x94D0_49BB_1331_11EB
        return number ^ (number >> 31)
    }
}
