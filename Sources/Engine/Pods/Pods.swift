public import Base
import Kernel
import Networks

/// All pods, by id and by name, and the containers that belong to each.
public actor Pods {
    let engine: EngineContext
    unowned let containers: Containers
    private var byID: [String: Pod] = [:]
    private var byName: [String: String] = [:]
    /// The containers of each pod, whether they run or not.
    private var members: [String: Set<String>] = [:]

    init(engine: EngineContext, containers: Containers) {
        self.engine = engine
        self.containers = containers
    }

    public func all() -> [Pod] { byID.values.sorted { $0.name < $1.name } }

    /// The containers that belong to it.
    public func members(of pod: Pod) -> Set<String> { members[pod.id] ?? [] }

    /// By name, id, or the start of an id.
    ///
    /// - Throws: `.notFound`, or `.invalid` when several ids start so.
    public func find(_ reference: String) throws -> Pod {
        if let pod = byID[reference] ?? byName[reference].flatMap({ byID[$0] }) { return pod }
        let matches = reference.isEmpty ? [] : byID.values.filter { $0.id.hasPrefix(reference) }
        if matches.count > 1 { throw SkalaError(.invalid, "several pods have an id that begins with \(reference)") }
        guard let match = matches.first else { throw SkalaError(.notFound, "No such pod: \(reference)") }
        return match
    }

    // MARK: make and remove

    /// Makes a pod from a create request: `Name`, and, if need be, `Memory` (bytes), `NanoCpus`, `NetworkMode`,
    /// `Endpoint` (`EndpointSettings`), `Hostname`, `PortBindings` and `Labels`.
    ///
    /// - Throws: `.conflict` when the name is in use.
    public func create(_ body: JSON) async throws -> Pod {
        let name = body["Name"].string ?? ""
        try PodName.check(name, "pod")
        let memory = body["Memory"].int.flatMap { $0 == 0 ? nil : $0 } ?? PodRecord.defaultMemory
        guard memory >= 128 << 20, memory <= HostFacts.memoryBytes else {
            throw SkalaError(
                .invalid,
                "a pod of \(memory >> 20) MiB is not possible: at least 128 MiB, and no more than this host's "
                    + "\(HostFacts.memoryBytes >> 20) MiB")
        }
        let nano = body["NanoCpus"].int ?? 0
        guard nano >= 0 else { throw SkalaError(.invalid, "invalid CPU limit: \(nano)") }
        let processors = nano == 0 ? PodRecord.defaultProcessors : Int(clamping: (nano - 1) / 1_000_000_000 + 1)
        let mode = body["NetworkMode"].string ?? ""
        let network = ["", "default"].contains(mode) ? "bridge" : mode
        guard network != "host", !network.hasPrefix("container:") else {
            throw MachineLimits.refused("--network \(network)", "its kernel is not the host's", .pod)
        }
        if network != "none" { _ = try await engine.networks.find(network) }
        try RefusedFields.check("EndpointSettings", body["Endpoint"])
        let hostname = body["Hostname"].string ?? ""
        guard hostname.utf8.count <= 64, !hostname.utf8.contains(0) else {
            throw SkalaError(.invalid, "invalid hostname '\(hostname)': it has at most 64 characters")
        }
        let ports = body["PortBindings"].isNull ? [:] : body["PortBindings"]
        let published = try PortBindings.published(hostConfig: ["PortBindings": ports], config: [:])
        guard published.isEmpty || network != "none" else {
            throw SkalaError(.invalid, "a pod without a network has no ports to publish")
        }
        let record = PodRecord(
            name: name, isOnDemand: false, memory: memory, processors: processors,
            hostname: hostname, network: network,
            endpoint: body["Endpoint"].isNull ? [:] : body["Endpoint"], ports: ports,
            labels: body["Labels"].stringDictionary ?? [:])
        return try await make(record)
    }

    /// Adds a container to the pod of that name, which is made when there is none.
    ///
    /// - Parameter record: what such a pod would be.
    /// - Throws: `.invalid` when the container does not fit into the one that there is.
    func join(_ container: String, _ record: PodRecord, check: @Sendable (PodRecord) throws -> Void) async throws -> Pod
    {
        if let pod = byName[record.name].flatMap({ byID[$0] }) {
            members[pod.id, default: []].insert(container)
            do {
                try check(await pod.snapshot)
            } catch {
                await forget(container, of: pod.id)
                throw error
            }
            return pod
        }
        try check(record)
        members[record.id] = [container]
        do {
            return try await make(record)
        } catch {
            members[record.id] = nil
            throw error
        }
    }

    private func make(_ record: PodRecord) async throws -> Pod {
        guard byName[record.name] == nil else {
            throw SkalaError(.conflict, "a pod named \(record.name) exists already")
        }
        let pod = add(record)
        do {
            try await pod.make()
            return pod
        } catch {
            drop(pod)
            throw error
        }
    }

    private func add(_ record: PodRecord) -> Pod {
        let id = record.id
        let pod = Pod(record: record, engine: engine) { [weak self] event in
            Task { await self?.handle(event, of: id) }
        }
        byID[id] = pod
        byName[record.name] = id
        return pod
    }

    private func drop(_ pod: Pod) {
        byID[pod.id] = nil
        byName[pod.name] = nil
        members[pod.id] = nil
    }

    /// The container is gone. A pod that nobody made goes with its last one.
    func forget(_ container: String, of id: String) async {
        guard let pod = byID[id] else { return }
        members[id]?.remove(container)
        guard await pod.snapshot.isOnDemand, members[id]?.isEmpty ?? true, byID[id] != nil else { return }
        drop(pod)
        await pod.remove()
    }

    /// - Parameter force: removes its containers too.
    /// - Throws: `.conflict` while it has containers.
    public func remove(_ reference: String, force: Bool) async throws {
        let pod = try find(reference)
        let inside = members(of: pod)
        guard inside.isEmpty || force else {
            throw SkalaError(
                .conflict,
                "pod \(pod.name) has \(inside.count) container\(inside.count == 1 ? "" : "s"): remove "
                    + "\(inside.count == 1 ? "it" : "them") first, or use force")
        }
        if await pod.isStalled(among: inside, of: containers) { await pod.kill() }
        for id in inside.sorted() {
            // It may have gone by itself meanwhile.
            if let container = await containers.existing(id) { try await container.remove(force: true, volumes: false) }
        }
        // One that nobody made went with its last container.
        guard byID[pod.id] != nil else { return }
        guard members(of: pod).isEmpty else { throw SkalaError(.conflict, "pod \(pod.name) got a new container") }
        drop(pod)
        await pod.remove()
    }

    // MARK: events

    /// Of the warden in a pod's VM: not trusted to speak of others.
    private func handle(_ event: JSON, of pod: String) async {
        guard let id = event["id"].string, members[pod]?.contains(id) == true else { return }
        await containers.handle(event)
    }

    /// An event of the host's warden about a VM.
    ///
    /// - Returns: false when it is no pod's.
    func handleHost(_ event: JSON) async -> Bool {
        for pod in byID.values where await pod.snapshot.machineID == event["id"].string {
            guard event["event"].string == "exit" else { return true }
            let exit = Container.Exit(event)
            for id in await pod.machineEnded() { await containers.existing(id)?.podEnded(exit) }
            return true
        }
        return false
    }

    // MARK: restore

    /// Takes the store's pods over, with what the host's warden says of their VMs.
    ///
    /// - Returns: the ids of those VMs.
    func restore(_ records: [PodRecord], running: [String: JSON]) async -> Set<String> {
        for record in records { await add(record).restore(running[record.machineID]) }
        return Set(records.map(\.machineID))
    }

    /// A container of the store belongs to a pod.
    func adopt(_ container: String, of id: String) { if byID[id] != nil { members[id, default: []].insert(container) } }

    /// All containers are known: what belongs to none of them goes.
    func completeRestore() async {
        for pod in all() {
            await pod.completeRestore()
            guard await pod.snapshot.isOnDemand, members(of: pod).isEmpty else { continue }
            drop(pod)
            await pod.remove()
        }
    }
}
