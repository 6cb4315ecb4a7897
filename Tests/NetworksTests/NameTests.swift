import Base
import TestSupport
import Testing

@testable import Networks

struct NameTests {
    /// The question `web A` of id 0x1234, recursion desired.
    private static let question: [UInt8] = [
        0x12, 0x34,  // id
        0x01, 0x00,  // a query; recursion desired
        0, 1, 0, 0, 0, 0, 0, 1,  // one question, one additional record (EDNS, cut off here)
        3, 0x57, 0x65, 0x62, 0,  // "Web"
        0, 1, 0, 1,  // A, IN
    ]

    @Test func aQuestionIsReadAndAnswered() throws {
        let query = try #require(DNSQuery(NameTests.question))
        #expect(query.name == "web" && query.type == DNSQuery.typeA)
        let answer = query.answer([[172, 18, 0, 2], [172, 18, 0, 3]])
        #expect(
            answer == [
                0x12, 0x34,
                0x85, 0x80,  // a response, authoritative, recursion desired and available
                0, 1, 0, 2, 0, 0, 0, 0,
                3, 0x57, 0x65, 0x62, 0, 0, 1, 0, 1,
                0xC0, 12, 0, 1, 0, 1, 0, 0, 0, 5, 0, 4, 172, 18, 0, 2,
                0xC0, 12, 0, 1, 0, 1, 0, 0, 0, 5, 0, 4, 172, 18, 0, 3,
            ])
        #expect(query.failure(3)[3] == 0x83)
        #expect(query.answer([]).count == NameTests.question.count)
    }

    /// Containers of a pod share an address, and may share a name: it is there until the last of them has gone.
    @Test func sharedNamesAreCounted() throws {
        let table = NameTable()
        let pod = Endpoint(json: ["network": "n", "networkName": "front", "ipv4": "10.0.0.2", "names": ["pod"]])
        let (web, db) = (pod.shared(names: ["web", "app"]), pod.shared(names: ["db", "app"]))
        let other = Endpoint(json: ["network": "n", "networkName": "front", "ipv4": "10.0.0.3", "names": ["app"]])
        for endpoint in [pod, web, db, other] { table.add(endpoint, of: "x") }
        #expect(web.endpointID != pod.endpointID && web.ipv4 == "10.0.0.2")
        func found(_ name: String) -> [String]? { table.addresses(of: name, on: "n")?.map(\.description) }
        #expect(found("app") == ["10.0.0.2", "10.0.0.3"] && found("web") == ["10.0.0.2"])
        table.remove(web)
        #expect(found("app") == ["10.0.0.2", "10.0.0.3"] && found("web") == nil && found("pod") == ["10.0.0.2"])
        table.remove(db)
        #expect(found("app") == ["10.0.0.3"] && found("db") == nil)
        table.remove(pod)
        table.remove(other)
        #expect(found("app") == nil && found("pod") == nil)
    }

    @Test func reverseNamesAreRead() throws {
        let name = DNSQuery.encode("2.0.18.172.in-addr.arpa")
        let query = try #require(DNSQuery(NameTests.question[..<12] + name + [0, 12, 0, 1]))
        #expect(query.reversedAddress?.description == "172.18.0.2")
        let digits = "2" + String(repeating: ".0", count: 27) + ".0.0.d.f"
        func address(_ name: String) throws -> String? {
            try #require(DNSQuery(NameTests.question[..<12] + DNSQuery.encode(name) + [0, 12, 0, 1])).reversedAddress?
                .description
        }
        #expect(try address(digits + ".ip6.arpa") == "fd00::2")
        for name in [
            "2.0.in-addr.arpa", "1.2.0.18.172.in-addr.arpa", "x.0.18.172.in-addr.arpa", "1.ip6.arpa",
            digits.dropLast() + "x.ip6.arpa",
        ] {
            #expect(try address(name) == nil, "\(name)")
        }
        #expect(DNSQuery(NameTests.question)?.reversedAddress == nil)
    }

    @Test func malformedQuestionsAreNone() {
        let question = NameTests.question
        for length in 0..<question.count { #expect(DNSQuery(Array(question[..<length])) == nil) }
        func changed(_ at: Int, _ byte: UInt8) -> DNSQuery? {
            var bytes = question
            bytes[at] = byte
            return DNSQuery(bytes)
        }
        #expect(changed(2, 0x81) == nil, "an answer is no question")
        #expect(changed(5, 0) == nil && changed(5, 2) == nil && changed(4, 1) == nil, "one question")
        #expect(changed(12, 0xC0) == nil, "a compressed name")
        #expect(changed(12, 64) == nil && changed(12, 63) == nil, "a label beyond the end")
        #expect(DNSQuery(question[..<12] + [UInt8](repeating: 1, count: 5000)) == nil)
        let deep: [UInt8] = Array(repeatElement([1, 0x61], count: 200).joined()) + [0, 0, 1, 0, 1]
        #expect(DNSQuery(question[..<12] + deep) == nil, "more labels than a name has")
    }

    @Test(arguments: 0..<8 as Range<UInt64>) func namesSurvive(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        for _ in 0..<100 {
            let labels = (0..<1 + random.below(4)).map { _ in
                String((0..<1 + random.below(20)).map { _ in random.pick(Array("abc-09_")) })
            }
            let name = labels.joined(separator: ".")
            let query = try #require(DNSQuery(NameTests.question[..<12] + DNSQuery.encode(name) + [0, 28, 0, 1]))
            #expect(query.name == name && query.type == DNSQuery.typeAAAA)
        }
    }

    private func endpoint(_ address: String, _ names: [String], network: String = "n") -> Endpoint {
        Endpoint(
            endpointID: "e", networkID: network, networkName: "front", interface: "eth0",
            macAddress: "02:42:ac:12:00:02", ipv4: address, prefixLength: 16, gateway: "172.18.0.1", dnsNames: names)
    }

    @Test func namesBelongToTheirNetwork() {
        let table = NameTable()
        let web = endpoint("172.18.0.2", ["Web", "www", "0123456789ab"])
        let second = endpoint("172.18.0.3", ["web"])
        table.add(web, of: "one")
        table.add(second, of: "two")
        #expect(table.addresses(of: "WEB", on: "n")?.map(\.description) == ["172.18.0.2", "172.18.0.3"])
        #expect(table.addresses(of: "web", on: "other") == nil)
        #expect(table.name(of: IPAddress(.v4, 0xAC12_0002), on: "n") == "0123456789ab")
        table.remove(web)
        #expect(table.addresses(of: "web", on: "n")?.map(\.description) == ["172.18.0.3"])
        #expect(table.addresses(of: "www", on: "n") == nil)
        table.remove(second)
        table.remove(second)
        #expect(
            table.addresses(of: "web", on: "n") == nil && table.name(of: IPAddress(.v4, 0xAC12_0003), on: "n") == nil)
    }

    /// Who asks on one network is answered on all of its own, and on no others.
    @Test func whoIsOnSeveralNetworksAsksOnAll() {
        let table = NameTable()
        let (here, there) = (endpoint("172.18.0.2", ["a"]), endpoint("172.19.0.2", ["a"], network: "m"))
        table.add(here, of: "one")
        table.add(there, of: "one")
        table.add(endpoint("172.18.0.3", ["b"]), of: "two")
        #expect(table.networks(of: IPAddress(.v4, 0xAC12_0002), on: "n") == ["n", "m"])
        #expect(table.networks(of: IPAddress(.v4, 0xAC13_0002), on: "m") == ["m", "n"])
        #expect(table.networks(of: IPAddress(.v4, 0xAC12_0003), on: "n") == ["n"])
        table.remove(there)
        #expect(table.networks(of: IPAddress(.v4, 0xAC12_0002), on: "n") == ["n"])
        #expect(table.networks(of: IPAddress(.v4, 0xAC13_0002), on: "m") == ["m"])
    }

    @Test func theDefaultRouteGoesOver() {
        func endpoint(_ name: String, _ gateway: String, _ ipv6Gateway: String = "") -> Endpoint {
            var one = Endpoint(
                endpointID: name, networkID: name, networkName: name, interface: name, macAddress: "", ipv4: "",
                prefixLength: 16, gateway: gateway, dnsNames: [])
            one.ipv6Gateway = ipv6Gateway
            return one
        }
        let all = [
            endpoint("eth0", ""), endpoint("eth1", "g1"), endpoint("eth2", "g2", "v2"), endpoint("eth3", "g3", "v3"),
        ]
        func routes(_ gone: Int) -> [String] {
            Endpoint.newRoutes(before: all, without: all[gone]).map { $0.interface + $0.gateway }
        }
        #expect(routes(0).isEmpty)
        #expect(routes(1) == ["eth2g2"])
        #expect(routes(2) == ["eth3v3"])
        #expect(routes(3).isEmpty)
        #expect(all[2].defaultGateways(after: all[..<2]) == ["v2"])
        #expect(Endpoint.newRoutes(before: [all[1]], without: all[1]).isEmpty)
    }

    @Test func endpointsSurviveTheStore() {
        let one = endpoint("172.18.0.2", ["web"])
        #expect(Endpoint(json: one.json).json == one.json)
        #expect(Endpoint(json: [:]).ipv4.isEmpty)
    }
}
