import Base
import Machines

/// A snapshot of a pod: its VM's memory and devices, and the disk of each container that ran in it. The files are in the pod's
/// folder.
struct PodSnapshot: Sendable {
    /// A container that ran.
    struct Member: Sendable {
        let id: String
        let name: String
        /// Its place in the VM.
        let place: Int
    }

    let name: String
    let created: Timestamp
    /// What its files take on the disk.
    let bytes: Int64
    let accelerator: Accelerator
    /// What loads it: another QEMU, or other devices, do not.
    let key: JSON
    let members: [Member]

    /// How many a pod may have.
    static let limit = 16

    /// The copy of a member's disk.
    static func disk(_ member: Member, in folder: String) -> String { folder + "/disk-\(member.place)" }
}

extension PodSnapshot {
    /// The document in the store.
    var json: JSON {
        [
            "name": JSON(name), "created": JSON(created.nanoseconds), "bytes": JSON(bytes),
            "accelerator": JSON(accelerator.rawValue), "key": key,
            "members": JSON(
                members.map { ["id": JSON($0.id), "name": JSON($0.name), "place": JSON($0.place)] as JSON }),
        ]
    }

    init(json: JSON) throws(SkalaError) {
        guard let name = json["name"].string,
            let accelerator = json["accelerator"].string.flatMap(Accelerator.init(rawValue:))
        else { throw SkalaError(.invalid, "a pod's snapshot in the store has no name or accelerator") }
        self.name = name
        self.accelerator = accelerator
        created = Timestamp(nanoseconds: json["created"].int ?? 0)
        bytes = json["bytes"].int ?? 0
        key = json["key"]
        members = (json["members"].array ?? []).compactMap { member in
            guard let id = member["id"].string, let place = member["place"].int,
                MachinePlace.all.indices.contains(Int(clamping: place))
            else { return nil }
            return Member(id: id, name: member["name"].string ?? "", place: Int(place))
        }
    }

    /// The API's document.
    var document: JSON {
        [
            "Name": JSON(name), "Created": JSON(created.text), "Size": JSON(bytes), "Isolation": "pod", "Memory": true,
            "Containers": JSON(members.map { JSON($0.name) }),
        ]
    }
}
