import Base
import TestSupport
import Testing

@testable import Networks

struct AddressTests {
    @Test(arguments: ["0.0.0.0", "255.255.255.255", "172.17.0.1", "1.2.3.4"])
    func addressesAreRead(text: String) throws {
        let address = try IPAddress(parsing: text)
        #expect(address.description == text)
        #expect(address.bytes == text.split(separator: ".").compactMap { UInt8($0) })
    }

    @Test(
        arguments: [
            "", ".", "1.2.3", "1.2.3.4.5", "1.2.3.256", "1.2.3.-1", "1.2.3.+4", "01.2.3.4", "1.2.3.4 ", "1..3.4",
            "a.b.c.d",
            "١.2.3.4", "1.2.3.4\n", "1.2.3.4\u{0}", ":", ":::", "fd00::1::2", "fd00::g", "fd00::1%lo",
            "1:2:3:4:5:6:7:8:9",
        ])
    func whatIsNoAddressIsRefused(text: String) {
        #expect(throws: SkalaError.self) { try IPAddress(parsing: text) }
        #expect(throws: SkalaError.self) { try IPNetwork(parsing: text + "/16") }
    }

    @Test(arguments: [
        "1.2.3.4", "1.2.3.4/", "1.2.3.4/33", "1.2.3.4/-1", "1.2.3.4/+8", "1.2.3.4/08", "1.2.3.4//8", "/8",
        "1.2.3.4/8/8",
    ])
    func whatIsNoNetworkIsRefused(text: String) {
        #expect(throws: SkalaError.self) { try IPNetwork(parsing: text) }
    }

    @Test func networksAreCutToTheirPrefix() throws {
        let network = try IPNetwork(parsing: "172.17.5.9/16")
        #expect(network.description == "172.17.0.0/16")
        #expect(network.last.description == "172.17.255.255")
        #expect(try IPNetwork(parsing: "1.2.3.4/0").description == "0.0.0.0/0")
        #expect(try IPNetwork(parsing: "255.255.255.255/32").last.description == "255.255.255.255")
    }

    @Test(arguments: 0..<8 as Range<UInt64>) func overlapIsWhatSharedAddressesAre(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        for _ in 0..<500 {
            let networks = (0..<2).map { _ in
                IPNetwork(
                    containing: IPAddress(.v4, 0x0A00_0000 | UInt128(random.below(256))),
                    prefix: UInt8(24 + random.below(9)))
            }
            let (a, b) = (networks[0], networks[1])
            let shared = (a.base.value...a.last.value).contains { b.contains(IPAddress(.v4, $0)) }
            #expect(a.overlaps(b) == shared && b.overlaps(a) == shared)
        }
    }

    @Test(arguments: 0..<8 as Range<UInt64>) func aPoolGivesEachAddressToOneOwner(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        let network = IPNetwork(containing: IPAddress(.v4, 0xAC12_0000), prefix: 28)
        let gateway = IPAddress(.v4, 0xAC12_0001)
        var pool = AddressPool(network: network, reserved: [gateway])
        var taken: Set<IPAddress> = []
        for _ in 0..<2000 {
            switch random.below(3) {
            case 0:
                if taken.count == 13 {
                    let error = #expect(throws: SkalaError.self) { try pool.take() }
                    #expect(error?.code == .exhausted)
                } else {
                    let address = try pool.take()
                    #expect(network.contains(address) && ![network.base, network.last, gateway].contains(address))
                    #expect(taken.insert(address).inserted)
                }
            case 1:
                let wanted = IPAddress(.v4, network.base.value - 2 + UInt128(random.below(20)))
                do {
                    try pool.take(wanted)
                    #expect(taken.insert(wanted).inserted && wanted != gateway)
                } catch { #expect(error.code == (network.contains(wanted) ? .conflict : .invalid)) }
            default:
                if let address = taken.sorted().first(where: { _ in random.below(2) == 0 }) {
                    pool.free(address)
                    taken.remove(address)
                }
            }
        }
    }

    @Test func aFreedAddressIsUsedAgainLast() throws {
        var pool = AddressPool(network: IPNetwork(containing: IPAddress(.v4, 0x0A00_0000), prefix: 29), reserved: [])
        let first = try pool.take()
        pool.free(first)
        var others: [IPAddress] = []
        for _ in 0..<5 { others.append(try pool.take()) }
        #expect(!others.contains(first))
        #expect(try pool.take() == first)
    }

    @Test func aPartOfTheNetworkIsKeptTo() throws {
        let network = try IPNetwork(parsing: "10.0.0.0/24")
        var pool = AddressPool(
            network: network, range: try IPNetwork(parsing: "10.0.0.0/30"), reserved: [IPAddress(.v4, 0x0A00_0001)])
        #expect(try [pool.take(), pool.take()].map(\.description) == ["10.0.0.2", "10.0.0.3"])
        #expect(throws: SkalaError.self) { try pool.take() }
        // A wanted address may lie outside the part.
        #expect(throws: Never.self) { try pool.take(IPAddress(.v4, 0x0A00_0064)) }
        var one = AddressPool(network: network, range: try IPNetwork(parsing: "10.0.0.255/32"), reserved: [])
        #expect(throws: SkalaError.self) { try one.take() }
    }

    @Test func hardwareAddressesAreRead() throws {
        #expect(try MACAddress.parse("02:42:ac:11:00:02") == [2, 0x42, 0xAC, 0x11, 0, 2])
        #expect(MACAddress.text(try MACAddress.parse("02:42:AC:11:00:0f")) == "02:42:ac:11:00:0f")
        for text in [
            "", "02:42:ac:11:00", "02:42:ac:11:00:02:03", "01:42:ac:11:00:02", "+2:42:ac:11:00:02", "2:42:ac:11:00:002",
            "02-42-ac-11-00-02", "02:42:ac:11:00:0g", "02:42:ac:11:00:02 ", ":::::::::::::::::",
        ] {
            #expect(throws: SkalaError.self) { try MACAddress.parse(text) }
        }
    }

    @Test func portsThatTakeTheSamePacketsCollide() {
        func port(_ ip: String, _ host: UInt16, _ name: String = "tcp") -> PublishedPort {
            PublishedPort(hostIP: ip, hostPort: host, containerPort: 80, protocol: name)
        }
        #expect(port("", 80).collides(with: port("127.0.0.1", 80)))
        #expect(port("127.0.0.1", 80).collides(with: port("0.0.0.0", 80)))
        #expect(!port("127.0.0.1", 80).collides(with: port("127.0.0.2", 80)))
        #expect(!port("", 80).collides(with: port("", 81)))
        #expect(!port("", 80).collides(with: port("", 80, "udp")))
        let document = port("127.0.0.1", 80).json
        #expect(PublishedPort(json: document) == port("127.0.0.1", 80))
    }
}
