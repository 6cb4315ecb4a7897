public import Base
import Kernel
import Machines

/// What is kept of a pod in the store.
public struct PodRecord: Sendable {
    /// What a pod has when nobody says otherwise.
    static let defaultMemory = min(1 << 30, HostFacts.memoryBytes)
    static let defaultProcessors = 2

    public let id: String
    public let name: String
    public let created: Timestamp
    /// Nobody made it: it goes with its last container.
    public let isOnDemand: Bool
    /// The most its VM may use, in bytes, and processors.
    public let memory: Int64
    public let processors: Int
    public let hostname: String
    /// The network's name, `none` without, and what was asked for on it.
    public let network: String
    public let endpoint: JSON
    /// Ports of its own, in the form of `HostConfig.PortBindings`.
    public let ports: JSON
    public let labels: [String: String]
    /// Its VM, as the host's warden knows it; empty while it has none.
    public var machineID = ""
    /// The places that containers have in the VM.
    var places: [String: Int] = [:]
    /// Oldest first.
    var snapshots: [PodSnapshot] = []
    /// What `Networks` needs to take it over after the daemon's restart.
    var networkState = JSON.null

    init(
        id: String = Identifier.make(), name: String, isOnDemand: Bool, memory: Int64, processors: Int,
        hostname: String = "", network: String, endpoint: JSON = [:], ports: JSON = [:], labels: [String: String] = [:]
    ) {
        self.id = id
        self.name = name
        created = SystemClock.now()
        self.isOnDemand = isOnDemand
        self.memory = memory
        self.processors = processors
        // The kernel's names have 64 characters at most.
        self.hostname = hostname.isEmpty ? String(name.prefix(63)) : hostname
        self.network = network
        self.endpoint = endpoint
        self.ports = ports
        self.labels = labels
    }

    var shape: MachineShape {
        MachineShape(podCeiling: memory, processors: processors, available: HostFacts.onlineCPUs)
    }

    /// The largest hard limit of memory that a container in it may have, in bytes.
    var largestLimit: Int64 { shape.memory - MachineShape.overhead }

    /// - Throws: `.invalid` with the numbers when a container's hard limit can never be reached.
    func check(memoryLimit: Int64) throws(SkalaError) {
        guard memoryLimit > largestLimit else { return }
        func text(_ bytes: Int64) -> String { "\(bytes >> 20) MiB" }
        throw SkalaError(
            .invalid,
            "a memory limit of \(text(memoryLimit)) does not fit into pod \(name): its VM has \(text(shape.memory)), "
                + "of which \(text(largestLimit)) are for containers")
    }
}

extension PodRecord {
    /// The document in the store.
    var json: JSON {
        [
            "id": JSON(id), "name": JSON(name), "created": JSON(created.nanoseconds), "onDemand": JSON(isOnDemand),
            "memory": JSON(memory), "processors": JSON(processors), "hostname": JSON(hostname),
            "network": JSON(network), "endpoint": endpoint, "ports": ports, "labels": JSON(labels),
            "machine": JSON(machineID),
            "places": .object(JSONObject(places.sorted { $0.value < $1.value }.map { ($0.key, JSON($0.value)) })),
            "networkState": networkState, "snapshots": JSON(snapshots.map(\.json)),
        ]
    }

    init(json: JSON) throws(SkalaError) {
        guard let id = json["id"].string, let name = json["name"].string else {
            throw SkalaError(.invalid, "a pod's record in the store has no id or name")
        }
        self.id = id
        self.name = name
        created = Timestamp(nanoseconds: json["created"].int ?? 0)
        isOnDemand = json["onDemand"].bool ?? false
        memory = json["memory"].int ?? PodRecord.defaultMemory
        processors = Int(clamping: json["processors"].int ?? 1)
        hostname = json["hostname"].string ?? name
        network = json["network"].string ?? "none"
        endpoint = json["endpoint"]
        ports = json["ports"]
        labels = json["labels"].stringDictionary ?? [:]
        machineID = json["machine"].string ?? ""
        for (id, place) in json["places"].object?.members ?? [] {
            if let number = place.int, MachinePlace.all.indices.contains(Int(clamping: number)) {
                places[id] = Int(number)
            }
        }
        networkState = json["networkState"]
        for snapshot in json["snapshots"].array ?? [] { snapshots.append(try PodSnapshot(json: snapshot)) }
    }
}
