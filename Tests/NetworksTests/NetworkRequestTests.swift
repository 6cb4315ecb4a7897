import Base
import Testing

@testable import Networks

struct NetworkRequestTests {
    private func request(_ changes: JSON) throws -> NetworkRequest {
        var body: JSON = ["Name": "front"]
        for member in changes.object?.members ?? [] { body[member.key] = member.value }
        return try NetworkRequest(json: body)
    }

    private func plan(_ plan: JSON) -> JSON { ["IPAM": ["Config": [plan]]] }

    @Test func aPlanIsCompleted() throws {
        let simple = try request(plan(["Subnet": "10.9.8.7/24"]))
        #expect(simple.subnets.first?.subnet == "10.9.8.0/24" && simple.subnets.first?.gateway == "10.9.8.1")
        let whole = try request(
            plan([
                "Subnet": "10.9.0.0/16", "Gateway": "10.9.0.254", "IPRange": "10.9.4.0/24",
                "AuxiliaryAddresses": ["router": "10.9.0.5"],
            ]))
        #expect(whole.subnets.first?.gateway == "10.9.0.254" && whole.subnets.first?.ipRange == "10.9.4.0/24")
        #expect(whole.subnets.first?.auxiliary == ["router": "10.9.0.5"])
        #expect(try request(["Internal": true, "Labels": ["a": "b"]]).isInternal)
        #expect(try request([:]).subnets.isEmpty && !(try request([:]).wantsIPv6))
        #expect(try request(plan(["Subnet": ""])).subnets.isEmpty)
        let both = try request([
            "EnableIPv6": true,
            "IPAM": ["Config": [["Subnet": "10.0.0.0/24"], ["Subnet": "fd00:1::/64", "Gateway": "fd00:1::9"]]],
        ])
        #expect(both.wantsIPv6 && both.subnets.map(\.gateway) == ["10.0.0.1", "fd00:1::9"])
    }

    @Test(
        arguments: [
            #"{"Subnet": "10.0.0.0"}"#, #"{"Subnet": "10.0.0.0/31"}"#, #"{"Gateway": "10.0.0.1"}"#,
            #"{"Subnet": "10.0.0.0/24", "Gateway": "10.0.1.1"}"#, #"{"Subnet": "10.0.0.0/24", "Gateway": "10.0.0.0"}"#,
            #"{"Subnet": "10.0.0.0/24", "Gateway": "10.0.0.255"}"#,
            #"{"Subnet": "10.0.0.0/24", "IPRange": "10.0.0.0/23"}"#,
            #"{"Subnet": "10.0.0.0/24", "IPRange": "x"}"#, #"{"Subnet": "fd00::/127"}"#,
            #"{"Subnet": "fd00::/64", "Gateway": "10.0.0.1"}"#,
            #"{"Subnet": "10.0.0.0/24", "AuxiliaryAddresses": {"a": "10.0.1.2"}}"#,
            #"{"Subnet": "10.0.0.0/24", "AuxiliaryAddresses": {"a": "b"}}"#,
        ])
    func impossiblePlansAreRefused(text: String) throws {
        let document = try plan(JSON(parsing: text))
        let error = #expect(throws: SkalaError.self) { try request(document) }
        #expect(error?.code == .invalid)
    }

    @Test(arguments: ["", "a", "_a", ".a", "-a", "a b", "a/b", "é1", "a\u{0}b", "a:b"])
    func namesAreChecked(name: String) {
        let error = #expect(throws: SkalaError.self) { try request(["Name": JSON(name)]) }
        #expect(error?.message.hasPrefix("invalid network name (\(name))") == true)
    }

    @Test func whatIsNotSupportedIsRefused() {
        for body: JSON in [
            ["EnableIPv6": false, "IPAM": ["Config": [["Subnet": "fd00::/64"]]]], ["EnableIPv4": false],
            ["Scope": "swarm"], ["IPAM": ["Driver": "other"]],
            ["IPAM": ["Config": [["Subnet": "10.0.0.0/24"], ["Subnet": "10.1.0.0/24"]]]],
        ] {
            #expect(throws: SkalaError.self) { try request(body) }
        }
    }

    @Test func networksSurviveTheStore() throws {
        let document: JSON = [
            "id": "i", "name": "front", "driver": "bridge", "options": ["o": "1"], "labels": ["l": "2"], "created": 5,
            "internal": true, "attachable": false, "bridge": "br",
            "subnets": [["subnet": "10.0.0.0/24", "gateway": "10.0.0.1", "range": .null, "auxiliary": [:]]],
        ]
        #expect(try Network(json: document).json.sorted == document.sorted)
        #expect(throws: SkalaError.self) { try Network(json: [:]) }
    }

    @Test func enginesOnOneHostDiffer() {
        #expect(NetworkManager.tag("/run/skala") == NetworkManager.tag("/run/skala"))
        #expect(NetworkManager.tag("/run/skala") != NetworkManager.tag("/run/skala2"))
        #expect(NetworkManager.tag("/run/skala").utf8.count == 4)
    }
}
