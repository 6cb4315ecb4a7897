import Base
import Testing

@testable import Networks

struct DHCPTests {
    private static let mac: [UInt8] = [0x02, 0x42, 0x0A, 0, 0, 2]

    static func request(_ kind: UInt8, options: [UInt8] = [], client: [UInt8] = [0, 0, 0, 0]) -> [UInt8] {
        // Request, Ethernet, six bytes, no hops; transaction; seconds; flags: broadcast.
        [1, 1, 6, 0, 0xAA, 0xBB, 0xCC, 0xDD, 0, 3, 0x80, 0] + client + [UInt8](repeating: 0, count: 12) + mac
            + [UInt8](repeating: 0, count: 202) + [99, 130, 83, 99, 53, 1, kind] + options + [255]
    }

    private let lease = DHCPLease(
        address: IPAddress(.v4, 0x0A00_0002), mask: IPAddress(.v4, 0xFFFF_0000), gateway: IPAddress(.v4, 0x0A00_0001),
        nameServers: [IPAddress(.v4, 0x0A00_0001)], hostname: "box", domain: "a.b", mtu: 1500, seconds: 600)
    private let own = IPAddress(.v4, 0x0A00_0001)

    @Test func aClientIsOfferedItsAddress() throws {
        let request = try #require(DHCPRequest(DHCPTests.request(1)))
        #expect(request.hardwareAddress == DHCPTests.mac && request.kind == .discover)
        let answer = try #require(request.answer(lease, own: own))
        #expect(Array(answer[0..<12]) == [2, 1, 6, 0, 0xAA, 0xBB, 0xCC, 0xDD, 0, 0, 0x80, 0])
        // The client's address, its new one, the server's, no relay.
        #expect(Array(answer[12..<28]) == [0, 0, 0, 0, 10, 0, 0, 2, 10, 0, 0, 1, 0, 0, 0, 0])
        #expect(Array(answer[28..<34]) == DHCPTests.mac)
        #expect(
            Array(answer[236..<answer.count].prefix { _ in true }).starts(with: [
                99, 130, 83, 99, 53, 1, 2, 54, 4, 10, 0, 0, 1,
                51, 4, 0, 0, 2, 88, 1, 4, 255, 255, 0, 0, 3, 4, 10, 0, 0, 1, 6, 4, 10, 0, 0, 1,
                12, 3, 0x62, 0x6F, 0x78, 15, 3, 0x61, 0x2E, 0x62, 26, 2, 5, 220, 255,
            ]))
        #expect(answer.count >= 300)
    }

    @Test func aRequestIsAcknowledgedOrRefused() throws {
        func kind(_ options: [UInt8], client: [UInt8] = [0, 0, 0, 0]) throws -> UInt8? {
            try #require(DHCPRequest(DHCPTests.request(3, options: options, client: client))).answer(lease, own: own)?[
                242]
        }
        #expect(try kind([50, 4, 10, 0, 0, 2, 54, 4, 10, 0, 0, 1]) == 5)
        #expect(try kind([], client: [10, 0, 0, 2]) == 5, "renewed")
        #expect(try kind([50, 4, 10, 0, 0, 9]) == 6, "another's address")
        #expect(try kind([]) == 6)
        #expect(try kind([50, 4, 10, 0, 0, 2, 54, 4, 10, 0, 0, 77]) == nil, "another server's offer")
        let release = try #require(DHCPRequest(DHCPTests.request(7)))
        #expect(release.answer(lease, own: own) == nil)
    }

    @Test func whatIsNoRequestIsDropped() {
        let good = DHCPTests.request(1)
        for (offset, value) in [(0, 2), (1, 6), (2, 16), (236, 0), (24, 1)] as [(Int, UInt8)] {
            var bytes = good
            bytes[offset] = value
            #expect(DHCPRequest(bytes) == nil, "\(offset)")
        }
        for count in 0..<good.count - 1 where count < 243 { #expect(DHCPRequest(Array(good[..<count])) == nil) }
        // Options that lie about their lengths, or have none, or say nothing.
        #expect(DHCPRequest(DHCPTests.request(1, options: [50, 200, 1])) == nil)
        #expect(DHCPRequest(Array(DHCPTests.request(1).dropLast()) + [50]) == nil)
        #expect(DHCPRequest(DHCPTests.request(99)) == nil)
        #expect(DHCPRequest(DHCPTests.request(1) + [UInt8](repeating: 0, count: 1500)) == nil)
    }
}
