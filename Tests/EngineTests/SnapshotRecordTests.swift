import Base
import Machines
import Testing

@testable import Engine

/// What is kept of snapshots, and what becomes of a record in a clone.
struct SnapshotRecordTests {
    private static let id = String(repeating: "ab", count: 32)
    private static let other = String(repeating: "cd", count: 32)

    private static let machine = Snapshot.Machine(
        shape: MachineShape(memory: 256 << 20, processors: 2), accelerator: .tcg, key: ["program": "q"], hasDisk: true,
        guestID: id)

    private func record() throws -> ContainerRecord {
        var record = try ContainerRecord(
            json: [
                "id": JSON(SnapshotRecordTests.id), "name": "db",
                "config": [
                    "Hostname": JSON(String(SnapshotRecordTests.id.prefix(12))), "MacAddress": "02:00:00:00:00:01",
                ],
                "hostConfig": [
                    "Runtime": "microvm",
                    "PortBindings": [
                        "80/tcp": [["HostIp": "127.0.0.1", "HostPort": "8080"]], "90/udp": [["HostPort": ""]],
                    ],
                ],
                "networks": [
                    "net": [
                        "MacAddress": "02:00:00:00:00:01", "Aliases": ["a"],
                        "IPAMConfig": ["IPv4Address": "10.0.0.9", "LinkLocalIPs": []],
                    ]
                ],
            ])
        record.state.status = .running
        record.machineID = SnapshotRecordTests.other
        record.snapshots = [
            Snapshot(
                name: "a", created: Timestamp(seconds: 1), isolation: .microvm, parent: "", bytes: 5,
                machine: SnapshotRecordTests.machine),
            Snapshot(
                name: "s1", created: Timestamp(seconds: 2), isolation: .container, parent: "a", bytes: 6, machine: nil),
        ]
        record.currentSnapshot = "s1"
        return record
    }

    @Test func snapshotsSurviveTheStore() throws {
        let record = try record()
        let again = try ContainerRecord(json: JSON(parsing: record.json.text))
        #expect(again.json == record.json)
        #expect(again.snapshots.map(\.name) == ["a", "s1"] && again.currentSnapshot == "s1")
        #expect(again.snapshots.map(\.hasMemory) == [true, false])
        #expect(
            again.snapshots[0].machine?.guestID == SnapshotRecordTests.id && again.snapshots[0].machine?.hasDisk == true
        )
        #expect(throws: SkalaError.self) { _ = try Snapshot(json: ["name": "x"]) }
    }

    @Test func namesAreFound() throws {
        let snapshots = try record().snapshots
        #expect(Snapshot.freeName(among: []) == "s1")
        #expect(Snapshot.freeName(among: snapshots) == "s2")
    }

    @Test(arguments: ["a", "before-1.2_x", "0"]) func goodNames(name: String) throws { try Snapshot.check(name: name) }

    @Test(arguments: ["", ".new", "-x", "a/b", "..", "ä", "a b", String(repeating: "a", count: 65)])
    func badNames(name: String) { #expect(throws: SkalaError.self) { try Snapshot.check(name: name) } }

    @Test func aCloneHasWhatThereCanBeTwoOf() throws {
        let clone = try record().clone(id: SnapshotRecordTests.other, name: "db-1")
        #expect(clone.id == SnapshotRecordTests.other && clone.name == "db-1" && clone.isolation == .microvm)
        #expect(clone.config["Hostname"].string == String(SnapshotRecordTests.other.prefix(12)))
        #expect(clone.config["MacAddress"] == "" && clone.state.status == .created && clone.machineID.isEmpty)
        #expect(clone.snapshots.isEmpty && clone.currentSnapshot.isEmpty)
        #expect(clone.hostConfig["PortBindings"]["80/tcp"] == [["HostIp": "127.0.0.1", "HostPort": ""]])
        #expect(clone.networks["net"]?["MacAddress"] == "" && clone.networks["net"]?["Aliases"] == ["a"])
        #expect(clone.networks["net"]?["IPAMConfig"]["IPv4Address"] == "")
        var named = try record()
        named.config["Hostname"] = "mine"
        #expect(named.clone(id: SnapshotRecordTests.other, name: "x").config["Hostname"] == "mine")
    }

    @Test(arguments: [0, -1, 101]) func countsHaveBounds(count: Int) {
        var request = CloneRequest()
        request.count = count
        #expect(throws: SkalaError.self) { try request.check() }
    }
}
