public import Base
import Engine
import Kernel
import Machines
import Planning

/// A node of the cluster. There is one, this host; the model has room for more.
public struct NodeRecord: Sendable {
    public enum Availability: String, Sendable, CaseIterable { case active, pause, drain }

    public let id: String
    var version: DocumentVersion
    public var labels: [String: String]
    public var availability: Availability
    /// Where others would reach it, as it was given to `swarm init`.
    public var address: String

    init(address: String, availability: Availability, counter: VersionCounter) {
        id = ClusterIdentifier.make()
        version = DocumentVersion(counter)
        labels = [:]
        self.availability = availability
        self.address = address
    }

    init(json: JSON) throws(SkalaError) {
        id = json["ID"].string ?? ""
        version = try DocumentVersion(json: json)
        labels = json["Spec"]["Labels"].stringDictionary ?? [:]
        availability = Availability(rawValue: json["Spec"]["Availability"].string ?? "") ?? .active
        address = json["Status"]["Addr"].string ?? ""
    }

    public var hostname: String { HostFacts.hostname }

    var architecture: String {
        switch HostFacts.architecture {
        case "x86_64": "amd64"
        case "aarch64": "arm64"
        case let other: other
        }
    }

    /// As the scheduler sees it before anything was measured.
    var description: NodeDescription {
        var isolations: [String: TaskResources.Amounts] = [:]
        for isolation in Isolation.allCases {
            // A VM's kernel takes memory beside the tasks'.
            isolations[isolation.rawValue] = .init(memoryBytes: isolation == .container ? 0 : MachineShape.overhead)
        }
        return NodeDescription(
            id: id, hostname: hostname, role: .manager, address: address, architecture: architecture, labels: labels,
            availability: NodeDescription.Availability(rawValue: availability.rawValue) ?? .active,
            capacity: .init(
                nanoCPUs: Int64(HostFacts.onlineCPUs) * 1_000_000_000, memoryBytes: Int64(HostFacts.memoryBytes)),
            isolations: isolations)
    }

    /// As the API shows it, and as the store keeps it.
    public var document: JSON {
        var json = version.fields(id)
        json["Spec"] = [
            "Labels": JSON(labels), "Role": "manager", "Availability": JSON(availability.rawValue),
        ]
        json["Description"] = [
            "Hostname": JSON(hostname),
            "Platform": ["Architecture": JSON(HostFacts.architecture), "OS": "linux"],
            "Resources": [
                "NanoCPUs": JSON(Int64(HostFacts.onlineCPUs) * 1_000_000_000),
                "MemoryBytes": JSON(HostFacts.memoryBytes),
            ],
            "Engine": ["EngineVersion": JSON(ProductVersion.text)],
        ]
        json["Status"] = ["State": "ready", "Addr": JSON(address)]
        json["ManagerStatus"] = ["Leader": true, "Reachability": "reachable", "Addr": JSON(address + ":2377")]
        return json
    }
}
