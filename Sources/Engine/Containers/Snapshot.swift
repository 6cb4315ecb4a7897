public import Base
import Machines

/// A snapshot of an instance, as its record has it; the files are in the instance's folder.
public struct Snapshot: Sendable {
    public let name: String
    public let created: Timestamp
    public let isolation: Isolation
    /// The one the instance was at when this was taken; empty without.
    public var parent: String
    /// What its files take on the disk.
    public let bytes: Int64
    /// What a VM needs to continue; nil when there are files only.
    let machine: Machine?

    /// A VM at the moment it was captured.
    struct Machine: Sendable {
        let shape: MachineShape
        let accelerator: Accelerator
        /// What loads it: another QEMU, or other devices, do not.
        let key: JSON
        /// Whether the container's disk is `disk`; otherwise it is the one that came with the template.
        let hasDisk: Bool
        /// What the warden in it knows the container by.
        let guestID: String
        /// The network cards that were in use, in the order of their names in the guest.
        var cards = [0]
        /// Of a machine with a disk of its own: the addresses its guest has; empty without a network.
        var address = ""
        var hardware = ""
    }

    public var hasMemory: Bool { machine != nil }

    /// How many an instance may have.
    static let limit = 64

    /// - Throws: `.invalid` for what is no name of a snapshot.
    static func check(name: String) throws(SkalaError) {
        let isValid =
            name.utf8.count <= 64 && (name.first.map { $0.isASCII && ($0.isLetter || $0.isNumber) } ?? false)
            && name.allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber || "_.-".contains($0)) }
        guard isValid else {
            throw SkalaError(
                .invalid,
                "invalid name of a snapshot '\(name)': up to 64 letters, digits, '_', '.' and '-', a letter or digit first"
            )
        }
    }

    /// `s1`, `s2`, …: the first that is free.
    static func freeName(among snapshots: [Snapshot]) -> String {
        let known = Set(snapshots.map(\.name))
        return (1...known.count + 1).map { "s\($0)" }.first { !known.contains($0) } ?? "s"
    }
}

extension Snapshot {
    var json: JSON {
        var json: JSON = [
            "name": JSON(name), "created": JSON(created.nanoseconds), "isolation": JSON(isolation.rawValue),
            "parent": JSON(parent), "bytes": JSON(bytes),
        ]
        if let machine {
            json["machine"] = [
                "memory": JSON(machine.shape.memory), "processors": JSON(machine.shape.processors),
                "accelerator": JSON(machine.accelerator.rawValue), "key": machine.key,
                "hasDisk": JSON(machine.hasDisk), "guest": JSON(machine.guestID),
                "cards": JSON(machine.cards.map { JSON($0) }), "address": JSON(machine.address),
                "hardware": JSON(machine.hardware),
            ]
        }
        return json
    }

    init(json: JSON) throws(SkalaError) {
        guard let name = json["name"].string,
            let isolation = json["isolation"].string.flatMap(Isolation.init(rawValue:))
        else { throw SkalaError(.invalid, "a snapshot's record in the store has no name or isolation") }
        self.name = name
        self.isolation = isolation
        created = Timestamp(nanoseconds: json["created"].int ?? 0)
        parent = json["parent"].string ?? ""
        bytes = json["bytes"].int ?? 0
        let machine = json["machine"]
        guard let accelerator = machine["accelerator"].string.flatMap(Accelerator.init(rawValue:)) else {
            self.machine = nil
            return
        }
        self.machine = Machine(
            shape: MachineShape(memory: machine["memory"].int ?? 0, processors: Int(machine["processors"].int ?? 1)),
            accelerator: accelerator, key: machine["key"], hasDisk: machine["hasDisk"].bool ?? false,
            guestID: machine["guest"].string ?? "",
            cards: machine["cards"].array?.compactMap { $0.int.map(Int.init(clamping:)) } ?? [0],
            address: machine["address"].string ?? "",
            hardware: machine["hardware"].string ?? "")
    }
}
