import Base
import Kernel
import Machines

extension Containers {
    /// Makes a new container one of the pod it asks for, or of one of its own, and its network the pod's.
    ///
    /// - Throws: `.invalid` with the reason when it does not fit in there; `.conflict` when the pod of its own has a name
    ///   that is another's.
    func joinPod(_ record: inout ContainerRecord, _ body: JSON) async throws {
        try await join(
            &record, PodWish(record, body), try PodName.asked(by: record.hostConfig, labels: body["Labels"]))
    }

    /// Makes a container that there is one of the pod of that name, or of one of its own; on the network it is on.
    ///
    /// - Throws: as `joinPod(_:_:)`.
    func joinPod(_ record: inout ContainerRecord, named name: String?) async throws {
        if let name { try PodName.check(name, "pod") }
        let network = record.networks.keys.first ?? "none"
        try await join(&record, PodWish(record, ["HostConfig": ["NetworkMode": JSON(network)]]), name)
        if let name { record.hostConfig["Annotations"][PodName.annotation] = JSON(name) }
    }

    private func join(_ record: inout ContainerRecord, _ wish: PodWish, _ asked: String?) async throws {
        guard record.networks.members.count <= 1 else {
            throw MachineLimits.refused("more than one network", "its VM has one network card", .pod)
        }
        let name = asked ?? record.name
        if asked == nil, (try? await pods.find(name)) != nil {  // nobody has it: that is what is wanted
            throw SkalaError(
                .conflict,
                "a pod named \(name) exists: give the container another name, or say with --annotation "
                    + "\(PodName.annotation)=\(name) that it belongs there")
        }
        let pod = try await pods.join(record.id, wish.pod(named: name)) { try wish.check($0) }
        let network = await pod.snapshot.network
        record.podID = pod.id
        record.podName = pod.name
        record.hostConfig["NetworkMode"] = JSON(network)
        record.networks = network == "none" ? JSONObject() : JSONObject([(network, wish.endpoint)])
    }
}

/// What a container needs of its pod. Pure.
struct PodWish: Sendable {
    private let memory: Int64
    private let nanoCPUs: Int64
    private let hasPorts: Bool
    /// The network it names; nil takes the pod's.
    private let network: String?
    private let ownNetwork: String
    let endpoint: JSON

    init(_ record: ContainerRecord, _ body: JSON) {
        memory = record.hostConfig["Memory"].int ?? 0
        nanoCPUs = record.hostConfig["NanoCpus"].int ?? 0
        hasPorts = !(record.hostConfig["PortBindings"].object?.isEmpty ?? true)
        let mode = body["HostConfig"]["NetworkMode"].string ?? ""
        let isDisabled = body["NetworkDisabled"].bool == true
        network = isDisabled ? "none" : ["", "default"].contains(mode) ? nil : mode
        ownNetwork = network ?? "bridge"
        endpoint = record.networks.members.first?.value ?? [:]
    }

    /// A pod that nobody made, for this container first: it decides the network, and the ceiling when it needs more than
    /// is usual.
    func pod(named name: String) -> PodRecord {
        PodRecord(
            name: name, isOnDemand: true,
            memory: max(PodRecord.defaultMemory, memory == 0 ? 0 : memory + MachineShape.overhead),
            processors: max(PodRecord.defaultProcessors, Int(clamping: (nanoCPUs + 999_999_999) / 1_000_000_000)),
            network: ownNetwork, endpoint: endpoint)
    }

    /// - Throws: `.invalid` with the reason when the container cannot be in that pod.
    func check(_ pod: PodRecord) throws(SkalaError) {
        try pod.check(memoryLimit: memory)
        if let network, network != pod.network {
            throw SkalaError(
                .invalid,
                "network \(network) is not possible in pod \(pod.name): its containers share the network \(pod.network)"
            )
        }
        let wanted = [
            endpoint["IPAMConfig"]["IPv4Address"], endpoint["IPAMConfig"]["IPv6Address"], endpoint["MacAddress"],
        ]
        let given = pod.endpoint
        let had = [given["IPAMConfig"]["IPv4Address"], given["IPAMConfig"]["IPv6Address"], given["MacAddress"]]
        for (new, old) in zip(wanted, had) where !(new.string ?? "").isEmpty && new != old {
            throw SkalaError(
                .invalid, "address \(new.text) is not possible in pod \(pod.name): its containers share the pod's")
        }
        if hasPorts, pod.network == "none" {
            throw SkalaError(.invalid, "pod \(pod.name) has no network: there are no ports to publish")
        }
    }
}
