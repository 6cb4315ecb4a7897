import Base
import Testing

@testable import Networks

struct BalancingRulesTests {
    private func address(_ text: String) throws -> IPAddress { try IPAddress(parsing: text) }

    private func service(
        _ members: [(String, Int)], _ algorithm: BalancingAlgorithm = .roundRobin, id: String = "web"
    ) throws -> ResolvedService {
        let front = ResolvedService.Front(
            networkID: "net0", bridge: "br0", hardwareAddress: "02:42:0a:00:00:01",
            addresses: [try address("10.0.0.9"), try address("fd00::9")],
            members: try members.map { .init(address: try address($0.0), weight: $0.1) })
        let port = PublishedPort(hostIP: "", hostPort: 80, containerPort: 8000, protocol: "tcp")
        return ResolvedService(id: id, algorithm: algorithm, fronts: [front], ports: [port], ingressNetworkID: "net0")
    }

    @Test func aNewMemberIsAFewElements() throws {
        let two = try service([("10.0.0.2", 1), ("10.0.0.3", 1)]).rules(keepsClients: true)
        let three = try service([("10.0.0.2", 1), ("10.0.0.3", 1), ("10.0.0.4", 1)]).rules(keepsClients: true)
        let change = BalancingRules.change(from: two, to: three, tables: "t")
        let lines = change.split(separator: "\n").map(String.init)
        #expect(
            lines.filter { $0.hasPrefix("add element") }.count == 4, "a slot, a member, its pair, its bridge: \(change)"
        )
        #expect(lines.contains("add element ip t slots_web_net0 { 2 : 10.0.0.4 }"))
        #expect(lines.contains("add element bridge t ipv4_members { 10.0.0.4 : 02:42:0a:00:00:01 }"))
        #expect(
            lines.contains(
                "add rule ip t service_web_net0 meta l4proto tcp dnat ip to numgen inc mod 3 map @slots_web_net0"))
        #expect(
            lines.contains(
                "add rule ip t port_web_net0_tcp_80_ meta l4proto tcp dnat ip to numgen inc mod 3 map "
                    + "@slots_web_net0 : 8000"))
        #expect(!change.contains("ip6 t"), "nothing of the other family is touched")
        #expect(BalancingRules.change(from: three, to: three, tables: "t").isEmpty)
    }

    @Test func whoLeavesHasNoSlotAndKeepsItsWay() throws {
        let rules = try service([("10.0.0.2", 1), ("10.0.0.3", 0)]).rules(keepsClients: true)
        let slots = rules.slots[.init(table: .ip, name: "slots_web_net0")]
        #expect(slots == [try address("10.0.0.2")])
        let members = rules.elements.keys.filter { $0.place == .init(table: .ip, name: "members") }.map(\.key)
        #expect(members.sorted() == ["10.0.0.2", "10.0.0.3"])
    }

    /// A packet between two states finds a member by every number that either of their rules may give.
    @Test func surplusSlotsLeadToMembersThatAreThere() throws {
        let three = try service([("10.0.0.2", 1), ("10.0.0.3", 1), ("10.0.0.4", 1)]).rules(keepsClients: true)
        var one = try service([("10.0.0.3", 1)]).rules(keepsClients: true)
        one.keepSlots(of: three)
        let place = BalancingRules.Place(table: .ip, name: "slots_web_net0")
        #expect(one.slots[place] == Array(repeating: try address("10.0.0.3"), count: 3))
        #expect(one.chains.values.joined().allSatisfy { !$0.contains("mod 3") })
        var none = try service([]).rules(keepsClients: true)
        none.keepSlots(of: three)
        #expect(none.slots[place] == [])
    }

    @Test func aServiceWithoutMembersHasNoRuleThatLeadsOn() throws {
        let rules = try service([]).rules(keepsClients: true)
        #expect(!rules.chains.isEmpty && rules.chains.values.allSatisfy(\.isEmpty))
        #expect(rules.elements.keys.contains { $0.place.name == "published" && $0.key == "tcp . 80" })
    }

    @Test func whatAnotherServiceHasTooStays() throws {
        let rules = try service([("10.0.0.2", 1)]).rules(keepsClients: true)
        let change = BalancingRules.change(from: rules, to: BalancingRules(), tables: "t") { $0.key == "10.0.0.2" }
        #expect(!change.contains("members { 10.0.0.2 }") && change.contains("delete map ip t slots_web_net0"))
        #expect(change.contains("delete element ip t services { 10.0.0.9 }"))
    }

    @Test func namesAreWordsOfNftables() {
        #expect(ResolvedService.word("a-b.c") == "a_2db_2ec")
        #expect(ResolvedService.word("fd00::1") == "fd00_3a_3a1")
    }

    // MARK: slots

    @Test func weightsAreSharesEvenlySpread() throws {
        let members: [SlotTable.Member] = [
            .init(address: try address("10.0.0.2"), weight: 30), .init(address: try address("10.0.0.3"), weight: 10),
        ]
        let slots = SlotTable.slots(members, .roundRobin).map(\.description)
        #expect(slots.count == 4 && slots.filter { $0 == "10.0.0.2" }.count == 3)
        #expect(SlotTable.slots(members.reversed(), .random).map(\.description) == slots)
        #expect(SlotTable.slots([], .sourceHash).isEmpty)
        #expect(SlotTable.slots([.init(address: members[0].address, weight: 0)], .roundRobin).isEmpty)
    }

    /// Large weights without a common measure stay within a percent of what they say.
    @Test func largeWeightsAreRounded() throws {
        let weights = [65_535, 32_003, 101]
        let members = try weights.enumerated().map {
            SlotTable.Member(address: try address("10.0.0.\($0.offset + 2)"), weight: $0.element)
        }
        let slots = SlotTable.slots(members, .roundRobin)
        #expect(slots.count <= SlotTable.limit + weights.count)
        for member in members {
            let share = Double(slots.filter { $0 == member.address }.count) / Double(slots.count)
            #expect(abs(share - Double(member.weight) / Double(weights.reduce(0, +))) < 0.01)
        }
    }

    @Test func aHashMovesOnlyTheShareOfWhoLeaves() throws {
        let members = try (2...9).map { SlotTable.Member(address: try address("10.0.0.\($0)")) }
        let before = SlotTable.slots(members, .sourceHash)
        let after = SlotTable.slots(Array(members.dropFirst()), .sourceHash)
        #expect(before.count == SlotTable.hashSlots)
        for (old, new) in zip(before, after) where old != members[0].address { #expect(old == new) }
        for member in members {
            let share = before.filter { $0 == member.address }.count
            #expect((12...56).contains(share), "\(member.address) has \(share) of 256")
        }
    }

    /// Who takes the place of one that has gone gets its clients, and no other client moves, neither when it goes nor when
    /// the other comes.
    @Test func aSuccessorTakesOverTheClients() throws {
        func members(_ last: Int?) throws -> [SlotTable.Member] {
            var all = try (1...3).map { SlotTable.Member(address: try address("10.0.0.\($0)"), key: "\($0)") }
            if let last { all.append(.init(address: try address("10.0.0.\(last)"), key: "4")) }
            return all
        }
        let before = SlotTable.slots(try members(4), .sourceHash)
        let between = SlotTable.slots(try members(nil), .sourceHash)
        let after = SlotTable.slots(try members(200), .sourceHash)
        let (old, new) = (try address("10.0.0.4"), try address("10.0.0.200"))
        #expect(before.contains(old))
        for index in before.indices {
            if before[index] != old { #expect(between[index] == before[index]) }
            #expect(after[index] == (before[index] == old ? new : before[index]))
        }
    }

    // MARK: records and names

    @Test func aServiceIsReadAsItWasWritten() throws {
        var spec = BalancedService(
            id: "s1", attachments: [.init(networkID: "n", names: ["web"], ipv4: "10.0.0.9", ipv6: "fd00::9")],
            ports: [PortRequest(hostIP: "", hostPorts: 80...81, containerPort: 8000, protocol: "udp")],
            algorithm: .sourceHash,
            members: [BalancedMember(id: "c", weight: 3, addresses: ["n": [try address("10.0.0.2")]])])
        spec.ports = [PublishedPort(hostIP: "", hostPort: 81, containerPort: 8000, protocol: "udp")]
        let read = try BalancedService(json: try JSON(parsing: spec.json.bytes))
        #expect(read.json == spec.json && read.members == spec.members && read.attachments == spec.attachments)
        #expect(read.portRequests == spec.portRequests && read.ports == spec.ports)
        #expect(throws: SkalaError.self) { try BalancedService(json: ["id": "x"]) }
    }

    @Test func aServiceHasItsNamesAndThoseOfItsTasks() throws {
        let names = NameTable()
        let (own, member) = (try address("10.0.0.9"), try address("10.0.0.2"))
        names.set("s1", on: "n", ServiceNames(names: ["web"], own: [own], members: [member]))
        #expect(names.addresses(of: "WEB", on: "n") == [own])
        #expect(names.addresses(of: "tasks.web", on: "n") == [member])
        #expect(names.addresses(of: "tasks.other", on: "n") == nil && names.addresses(of: "web", on: "m") == nil)
        #expect(names.name(of: own, on: "n") == "web")
        names.set("s1", on: "n", ServiceNames(names: ["web"], own: [], members: [member]))
        #expect(names.addresses(of: "web", on: "n") == [member])
        names.set("s1", on: "n", nil)
        #expect(names.addresses(of: "web", on: "n") == nil)
    }

    @Test func changesOfOthersAreHeardOf() {
        func attribute(_ type: UInt16, _ text: String) -> [UInt8] {
            let length = UInt16(text.utf8.count + 5)
            let bytes = [UInt8(length & 255), UInt8(length >> 8), UInt8(type), 0] + Array(text.utf8) + [0]
            return bytes + [UInt8](repeating: 0, count: (4 - bytes.count % 4) % 4)
        }
        func message(_ type: UInt8, _ attributes: [UInt8]) -> [UInt8] {
            let length = UInt16(20 + attributes.count)
            return [UInt8(length & 255), UInt8(length >> 8), 0, 0, type, 10] + [UInt8](repeating: 0, count: 14)
                + attributes
        }
        // NFT_MSG_DELTABLE, NFT_MSG_DELRULE, NFT_MSG_DELSETELEM, and NFT_MSG_NEWGEN with number, process and its name.
        func generation(_ name: String) -> [UInt8] {
            message(15, [8, 0, 1, 0, 0, 0, 0, 9] + [8, 0, 2, 0, 0, 0, 0, 7] + attribute(3, name))
        }
        func isHeard(_ messages: [UInt8]) -> Bool {
            var transactions = FirewallWatch.Transactions(tables: ["ours", "ours_services"], author: "us")
            return transactions.take(messages[...])
        }
        for type: UInt8 in [2, 8, 14] {
            #expect(isHeard(message(type, attribute(1, "ours")) + generation("nft")))
            #expect(isHeard(message(type, attribute(1, "ours_services")) + generation("nft")))
            #expect(!isHeard(message(type, attribute(1, "ours")) + generation("us")))
            #expect(!isHeard(message(type, attribute(1, "other")) + generation("nft")))
        }
        // Two transactions: the second one's end is not the first one's.
        #expect(
            !isHeard(
                message(8, attribute(1, "ours")) + generation("us") + message(8, attribute(1, "x")) + generation("nft"))
        )
        #expect(!isHeard(message(2, attribute(1, "ours"))), "it has not ended")
        #expect(
            !isHeard(Array(generation("nft").prefix(8))) && !isHeard([0, 0, 0, 0] + [UInt8](repeating: 0, count: 16)))
    }
}
