public import Base
import Engine
import Kernel
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
