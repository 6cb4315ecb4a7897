/// The servers HAProxy knows of a service: a fixed number, each with a member or none, so that a change of members is a
/// few commands to the running process.
struct HTTPSlots: Sendable {
    private(set) var members: [HTTPService.Member?]
    /// Slots that were left, longest ago first: answers may still come through the newest.
    private var free: [Int]
    /// Slots of members that have left, by their id, until another one gets the slot.
    private(set) var left: [String: Int] = [:]

    init(_ members: [HTTPService.Member]) {
        var count = 8
        while count < members.count * 2 { count *= 2 }
        self.members = members.map { $0 } + Array(repeating: nil, count: count - members.count)
        free = Array(members.count..<count)
    }

    /// A slot's name in the configuration.
    static func name(_ slot: Int) -> String { "s\(slot)" }

    /// Gives slots to members that are new and takes those of the ones that are gone.
    ///
    /// - Returns: HAProxy's commands: who comes, first; nil when there are not enough slots.
    mutating func change(to wanted: [HTTPService.Member], backend: String) -> [String]? {
        var comes: [String] = []
        var goes: [String] = []
        let ids = Set(wanted.map(\.id))
        var missing = Dictionary(wanted.map { ($0.id, $0) }) { $1 }
        var leaving: [Int] = []
        for (slot, member) in members.enumerated() {
            guard let member else { continue }
            let server = "\(backend)/\(HTTPSlots.name(slot))"
            if let same = missing[member.id], same.address == member.address, same.port == member.port {
                missing[member.id] = nil
                if same.weight != member.weight { comes.append("set server \(server) weight \(same.weight)") }
                members[slot] = same
            } else if !ids.contains(member.id) || missing[member.id] != nil {
                goes.append("set server \(server) state maint")
                leaving.append(slot)
            }
        }
        guard missing.count <= free.count else { return nil }
        for member in wanted where missing[member.id] != nil {
            missing[member.id] = nil
            let slot = free.removeFirst()
            if let other = left.first(where: { $0.value == slot })?.key { left[other] = nil }
            left[member.id] = nil
            members[slot] = member
            let server = "\(backend)/\(HTTPSlots.name(slot))"
            comes.append("set server \(server) addr \(member.address) port \(member.port)")
            comes.append("set server \(server) weight \(member.weight)")
            comes.append("set server \(server) state ready")
        }
        for slot in leaving {
            if let id = members[slot]?.id { left[id] = slot }
            members[slot] = nil
        }
        free += leaving
        return comes + goes
    }
}
