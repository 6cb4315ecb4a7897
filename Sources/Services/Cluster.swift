public import Base
public import Engine
import Kernel
import Networks
public import Planning
import Store

/// Swarm mode: the services of this engine, with all they need; of one node.
///
/// It keeps what there is (node, services, secrets, configs) and hands each service to a reconciler of its own.
public actor Cluster {
    let context: ClusterContext
    /// Nil: not in swarm mode.
    var record: ClusterRecord?
    public internal(set) var node: NodeRecord?
    var reconcilers: [String: ServiceReconciler] = [:]
    /// Secrets and configs, by id.
    var files: [String: SwarmFile] = [:]
    var listener: Task<Void, Never>?
    var holdListener: Task<Void, Never>?
    /// Services are made and changed one at a time: names and ports are looked at first.
    let turn = AsyncSemaphore(limit: 1)
    var scheduler = Scheduler()
    /// What the lab has measured of this host; nil before it did.
    public internal(set) var hostProfile: HostProfile?
    /// By task.
    var seats: [String: Seat] = [:]
    /// Services with tasks that no node has room for.
    var waiting: Set<String> = []

    public init(engine: Engine) { context = ClusterContext(engine: engine) }

    public static let notAManager = SkalaError(
        .unavailable,
        "This node is not a swarm manager. Use \"docker swarm init\" or \"docker swarm join\" to connect this node to "
            + "swarm and try again.")

    public var isActive: Bool { record != nil }

    func requireActive() throws(SkalaError) { if record == nil { throw Cluster.notAManager } }

    var historyLimit: Int { record?.historyLimit ?? ClusterRecord.defaultHistoryLimit }

    // MARK: swarm

    /// Begins swarm mode, from the API's `POST /swarm/init`.
    ///
    /// - Returns: the id of the node.
    /// - Throws: `.unavailable` with Docker's text when it is part of a swarm already.
    public func initialize(_ body: JSON) async throws -> String {
        guard record == nil else {
            throw SkalaError(
                .unavailable,
                "This node is already part of a swarm. Use \"docker swarm leave\" to leave this swarm and join another one."
            )
        }
        try RefusedFields.check("SwarmInit", body)
        let availability = body["Availability"].string ?? ""
        guard availability.isEmpty || NodeRecord.Availability(rawValue: availability) != nil else {
            throw SkalaError(.invalid, "invalid Availability: \"\(availability)\"")
        }
        let given = body["AdvertiseAddr"].string ?? ""
        let node = NodeRecord(
            address: Cluster.host(given.isEmpty ? "127.0.0.1" : given),
            availability: NodeRecord.Availability(rawValue: availability) ?? .active, counter: context.counter)
        let record = try ClusterRecord(spec: body["Spec"], counter: context.counter)
        try await context.store.putAll([
            .init(kind: "cluster", id: "cluster", body: record.document),
            .init(kind: "node", id: node.id, body: node.document),
        ])
        self.record = record
        self.node = node
        scheduler.set(description(of: node))
        listen()
        context.publish("node", "create", node.id, ["name": node.hostname])
        return node.id
    }

    /// The host of `HOST[:PORT]`.
    private static func host(_ address: String) -> String {
        let parts = address.split(separator: ":", omittingEmptySubsequences: false)
        return parts.count == 2 ? String(parts[0]) : address
    }

    /// As `GET /swarm` shows it.
    public func document() throws -> JSON {
        guard let record else { throw Cluster.notAManager }
        return record.document
    }

    /// Ends swarm mode: every service, secret and config goes.
    ///
    /// - Throws: `.unavailable` with Docker's text without `force`.
    public func leave(force: Bool) async throws {
        guard record != nil else { throw SkalaError(.unavailable, "This node is not part of a swarm") }
        guard force else {
            throw SkalaError(
                .unavailable,
                "You are attempting to leave the swarm on a node that is participating as a manager. Removing the last "
                    + "manager erases all current state of the swarm. Use `--force` to ignore this message.")
        }
        for id in reconcilers.keys.sorted() {
            do {
                try await remove(service: id)
            } catch let error as SkalaError where error.code == .notFound {
                // It was removed before, and its tasks are on their way.
            }
        }
        while !reconcilers.isEmpty { try await Task.sleep(nanoseconds: 20_000_000) }
        for network in await context.engine.networks.list() where network.driver == "overlay" {
            do {
                try await context.engine.removeNetwork(network.id)
            } catch { context.log.warning("the network \(network.name) stays", ["error": "\(error)"]) }
        }
        var changes: [Store.Change] = [.remove(kind: "cluster", id: "cluster")]
        if let node { changes.append(.remove(kind: "node", id: node.id)) }
        changes += files.values.map { .remove(kind: $0.kind.rawValue, id: $0.id) }
        try await context.store.apply(changes)
        record = nil
        if let node { scheduler.removeNode(node.id) }
        node = nil
        files = [:]
        listener?.cancel()
    }

    // MARK: restart

    /// Takes over what the store has and the engine runs. Called once, when the engine has started.
    public func start() async throws {
        try await restoreProfile()
        guard let json = try await context.store.get("cluster", "cluster") else { return try await restoreHTTP() }
        record = try ClusterRecord(json: json)
        context.counter.noteUsed(json["Version"]["Index"].int ?? 0)
        node = try await context.store.all("node").first.map { try NodeRecord(json: $0.body) }
        if let node { scheduler.set(description(of: node)) }
        var tasks: [String: [TaskRecord]] = [:]
        for (_, body) in try await context.store.all("task") {
            let task = try TaskRecord(json: body)
            context.counter.noteUsed(task.version.index)
            tasks[task.serviceID, default: []].append(task)
        }
        for kind in [SwarmFile.Kind.secret, .config] {
            for (_, body) in try await context.store.all(kind.rawValue) {
                let file = try SwarmFile(kind: kind, json: body)
                context.counter.noteUsed(file.version.index)
                files[file.id] = file
            }
        }
        try await removeStrayContainers(known: Set(tasks.values.joined().map(\.id)))
        let active = tasks.values.joined().filter { $0.state.isActive }
        try await context.files.removeStrays(known: Set(active.map(\.id)))
        listen()
        for (_, body) in try await context.store.all("service") {
            let service = try ServiceRecord(json: body)
            context.counter.noteUsed(service.version.index)
            let own = tasks.removeValue(forKey: service.id) ?? []
            for task in own where task.state.isActive && !task.nodeID.isEmpty {
                seats[task.id] = scheduler.occupy(
                    Demand(service: service.spec, task: task.spec), of: service.name, on: task.nodeID)
            }
            add(service, tasks: own)
        }
        for stray in await context.engine.networks.balancedServices() where reconcilers[stray.id] == nil {
            try await context.engine.networks.removeService(stray.id)
        }
        try await restoreHTTP()
        for task in tasks.values.joined() { try await context.store.remove("task", task.id) }
        for reconciler in reconcilers.values { reconciler.start() }
    }

    /// Containers of tasks that nobody knows: the store could not be written when they were made.
    private func removeStrayContainers(known: Set<String>) async throws {
        for container in await context.engine.containers.all() {
            let record = await container.snapshot
            // An image may have the label, too: of a container that was committed. Then the name is another one.
            guard let task = record.config["Labels"][TaskContainer.Label.taskID].string,
                record.name.hasSuffix("." + task), !known.contains(task)
            else { continue }
            context.log.warning(
                "a container belongs to a task that is not known: it is removed",
                ["container": container.id, "task": task])
            try await container.remove(force: true, volumes: true)
        }
    }

    /// Stops looking after services; their containers go on.
    public func close() {
        listener?.cancel()
        holdListener?.cancel()
        for reconciler in reconcilers.values { reconciler.close() }
    }

    /// Hands what happens to containers to the reconcilers of their services.
    func listen() {
        listenToHeldRequests()
        listener?.cancel()
        let stream = context.engine.events.listen().stream
        listener = Task { [weak self] in
            for await event in stream where event.type == "container" {
                guard let service = event.attributes[TaskContainer.Label.serviceID],
                    let task = event.attributes[TaskContainer.Label.taskID],
                    ["die", "start", "destroy", "disk-full", "disk-room"].contains(event.action)
                        || event.action.hasPrefix("health_status")
                else { continue }
                await self?.reconcilers[service]?.touch(task)
            }
        }
    }

    func add(_ service: ServiceRecord, tasks: [TaskRecord]) {
        reconcilers[service.id] = ServiceReconciler(service: service, tasks: tasks, context: context, cluster: self)
    }

    func forget(_ id: String) async {
        do {
            try await context.store.remove("service", id)
            reconcilers[id] = nil
        } catch { context.log.error("cannot forget a service", ["service": id, "error": "\(error)"]) }
    }
}
