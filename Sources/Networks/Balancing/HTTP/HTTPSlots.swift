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

    /// What a running process has.
    ///
    /// - Parameters:
    ///   - servers: by slot; nil for one that gets no requests.
    ///   - known: the members among them. A server that is none of those is one of no name, which leaves with the first
    ///     change.
    init(servers: [(address: IPAddress, port: UInt16, weight: Int)?], known: [HTTPService.Member]) {
        var missing = known
        let members = servers.enumerated().map { slot, server -> HTTPService.Member? in
            guard let server else { return nil }
            let index = missing.firstIndex { $0.address == server.address && $0.port == server.port }
            let id = index.map { missing.remove(at: $0).id } ?? " \(slot)"
            return HTTPService.Member(id: id, address: server.address, port: server.port, weight: server.weight)
        }
        self.members = members
        free = members.indices.filter { members[$0] == nil }
    }

    /// Reads `show servers state`: by backend, the servers of its slots.
    static func servers(_ text: String) -> [String: [(address: IPAddress, port: UInt16, weight: Int)?]] {
        var columns: [Substring: Int] = [:]
        var result: [String: [(address: IPAddress, port: UInt16, weight: Int)?]] = [:]
        for line in text.split(separator: "\n") {
            if line.hasPrefix("# ") {
                let names = line.dropFirst(2).split(separator: " ")
                columns = Dictionary(names.enumerated().map { ($0.element, $0.offset) }) { first, _ in first }
                continue
            }
            let fields = line.split(separator: " ")
            func field(_ name: Substring) -> Substring {
                columns[name].flatMap { fields.indices.contains($0) ? fields[$0] : nil } ?? ""
            }
            let backend = String(field("be_name"))
            guard field("srv_name") == name(result[backend]?.count ?? 0)[...] else { continue }
            // Maintenance, its own or another server's. 0x04 says only that it began in it, and stays when it is ready.
            let isUp = (Int(field("srv_admin_state")) ?? 1) & 0x03 == 0
            // HAProxy's own text.
            let address = try? IPAddress(parsing: String(field("srv_addr")))
            guard isUp, let address, let port = UInt16(field("srv_port")) else {
                result[backend, default: []].append(nil)
                continue
            }
            result[backend, default: []].append(
                (address: address, port: port, weight: Int(field("srv_uweight")) ?? 1))
        }
        return result
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
