public import Base
import Engine
import Kernel
import Networks
import Planning
import Store

extension Cluster {
    /// Makes a service from the API's create request.
    ///
    /// - Parameter registryAuth: the client's `X-Registry-Auth`, which its images are pulled with.
    /// - Returns: its id, and warnings.
    /// - Throws: `.conflict` when the name is in use, `.invalid` and `.unsupported` for a specification that no task could
    ///   be made from, `.notFound` for networks, secrets and configs that do not exist.
    public func create(
        service json: JSON, registryAuth: String? = nil
    ) async throws -> (id: String, warnings: [String]) {
        try requireActive()
        return try await turn.withPlace { try await make(service: json, registryAuth) }
    }

    private func make(service json: JSON, _ registryAuth: String?) async throws -> (id: String, warnings: [String]) {
        try RefusedFields.check("TaskSpec", json["TaskTemplate"])
        var service = ServiceRecord(spec: try ServiceSpec(json: json), counter: context.counter)
        try await check(service)
        if let registryAuth { service.registryAuth = try sealed(registryAuth: registryAuth, of: service.id) }
        guard await find(name: service.name) == nil else {
            throw SkalaError(
                .conflict,
                "rpc error: code = AlreadyExists desc = name conflicts with an existing object: "
                    + "service \(service.name) already exists")
        }
        add(service, tasks: [])
        do {
            try await reconcilers[service.id]?.tryBalance(service.spec)
            try await context.store.put("service", service.id, service.json)
        } catch {
            await reconcilers[service.id]?.endBalancing()
            reconcilers[service.id] = nil
            throw error
        }
        reconcilers[service.id]?.start()
        context.publish("service", "create", service.id, ["name": service.name])
        return (service.id, [])
    }

    /// Replaces the specification.
    ///
    /// - Parameters:
    ///   - index: the version that the client read.
    ///   - isRollback: goes back to what it was before; `json` then says nothing.
    /// - Throws: `.conflict` when it was changed since.
    public func update(
        service reference: String, index: Int64, isRollback: Bool, to json: JSON, registryAuth: String? = nil
    ) async throws -> [String] {
        try requireActive()
        return try await turn.withPlace {
            try await change(service: reference, index: index, isRollback: isRollback, to: json, registryAuth)
        }
    }

    private func change(
        service reference: String, index: Int64, isRollback: Bool, to json: JSON, _ registryAuth: String?
    ) async throws -> [String] {
        let reconciler = try await reconciler(reference)
        let current = await reconciler.service
        var spec: ServiceSpec
        if isRollback {
            guard let previous = current.previous else {
                throw SkalaError(
                    .invalid, "service \(current.name) does not have a previous spec: there is nothing to roll back to")
            }
            spec = previous
        } else {
            try RefusedFields.check("TaskSpec", json["TaskTemplate"])
            spec = try ServiceSpec(json: json)
        }
        guard spec.name == current.name else {
            throw SkalaError(.unsupported, "renaming services is not supported")
        }
        guard spec.mode.name == current.spec.mode.name else {
            throw SkalaError(.unsupported, "service mode change is not allowed")
        }
        var changed = current
        changed.spec = spec
        try await check(changed)
        let auth = try registryAuth.map { try sealed(registryAuth: $0, of: current.id) }
        try await reconciler.update(spec, index: index, isRollback: isRollback, registryAuth: auth)
        if spec.profile != current.spec.profile { relabel(Array(await reconciler.tasks.keys), spec.profile) }
        context.publish("service", "update", current.id, ["name": current.name])
        return []
    }

    /// Stops its tasks, and forgets it when they have gone.
    public func remove(service reference: String) async throws {
        try requireActive()
        let reconciler = try await reconciler(reference)
        try await reconciler.remove()
        let service = await reconciler.service
        context.publish("service", "remove", service.id, ["name": service.name])
    }

    /// Everything that can be told to be wrong before a task is made.
    private func check(_ service: ServiceRecord) async throws {
        guard let node else { throw Cluster.notAManager }
        var task = TaskRecord(service: service, slot: 1, nodeID: node.id, counter: VersionCounter())
        task.containerID = ""
        let body = try await containerBody(service: service, task: task, node: node)
        _ = try taskFiles(task.spec)
        try await context.engine.containers.check(body)
        let ports = service.spec.endpoint.ports
        _ = try ServiceReconciler.algorithm(of: service.spec)
        try await checkHTTP(service)
        try service.spec.checkProfile()
        if try AutoscalePolicy(labels: service.spec.labels) != nil, service.spec.mode.name != "replicated" {
            throw SkalaError(.invalid, "only replicated services scale by themselves, not \(service.spec.mode.name)s")
        }
        for other in reconcilers.values {
            let other = await other.service
            guard other.id != service.id, !other.isRemoved else { continue }
            for port in ports where port.publishedPort != 0 {
                let isTaken = other.spec.endpoint.ports.contains {
                    $0.publishedPort == port.publishedPort && $0.transport == port.transport
                }
                if isTaken, !share(port, service.spec, other.spec) {
                    throw SkalaError(
                        .invalid,
                        "port '\(port.publishedPort)' is already in use by service '\(other.name)' (\(other.id))")
                }
            }
        }
    }

    /// The create request of a task's container.
    func containerBody(service: ServiceRecord, task: TaskRecord, node: NodeRecord) async throws -> JSON {
        var networks: [(name: String, aliases: [String])] = []
        for network in task.spec.networks {
            let found = try await context.engine.networks.find(network.target)
            let isNamed = found.name != "bridge" && found.name != "host" && found.name != "none"
            let names = network.aliases + [service.name]
            networks.append((found.name, isNamed ? names.map { "tasks." + $0 } : []))
        }
        let mounts = context.files.mounts(task.id, try fileTargets(task.spec))
        return try TaskContainer(service: service, task: task, node: node, networks: networks, files: mounts).body()
    }

    // MARK: look-up

    func find(name: String) async -> ServiceReconciler? {
        for reconciler in reconcilers.values {
            let service = await reconciler.service
            if !service.isRemoved, service.name == name { return reconciler }
        }
        return nil
    }

    /// By id, name, or the start of an id.
    func reconciler(_ reference: String) async throws -> ServiceReconciler {
        try requireActive()
        var matches: [ServiceReconciler] = []
        for (id, reconciler) in reconcilers {
            let service = await reconciler.service
            if service.isRemoved { continue }
            if id == reference || service.name == reference { return reconciler }
            if !reference.isEmpty, id.hasPrefix(reference) { matches.append(reconciler) }
        }
        if matches.count > 1 { throw SkalaError(.invalid, "service \(reference) is ambiguous") }
        guard let match = matches.first else { throw SkalaError(.notFound, "service \(reference) not found") }
        return match
    }

    public func service(_ reference: String) async throws -> ServiceRecord { try await reconciler(reference).service }

    public func services() async throws -> [ServiceRecord] {
        try requireActive()
        var services: [ServiceRecord] = []
        for reconciler in reconcilers.values {
            let service = await reconciler.service
            if !service.isRemoved { services.append(service) }
        }
        return services.sorted { $0.version.created < $1.version.created }
    }

    /// All tasks, or those of a service, the oldest first.
    public func tasks(of serviceID: String? = nil) async throws -> [TaskRecord] {
        try requireActive()
        var tasks: [TaskRecord] = []
        for (id, reconciler) in reconcilers where serviceID == nil || serviceID == id {
            tasks += await reconciler.tasks.values
        }
        return tasks.sorted { ($0.created, $0.slot) < ($1.created, $1.slot) }
    }

    /// By id, or its start.
    public func task(_ reference: String) async throws -> TaskRecord {
        let all = try await tasks()
        if let task = all.first(where: { $0.id == reference }) { return task }
        let matches = reference.isEmpty ? [] : all.filter { $0.id.hasPrefix(reference) }
        if matches.count > 1 { throw SkalaError(.invalid, "task \(reference) is ambiguous") }
        guard let match = matches.first else { throw SkalaError(.notFound, "task \(reference) not found") }
        return match
    }
}

extension ServiceReconciler {
    func update(_ spec: ServiceSpec, index: Int64, isRollback: Bool, registryAuth: String?) async throws {
        guard index == service.version.index, !service.isRemoved else {
            throw SkalaError(.conflict, "rpc error: code = Unknown desc = update out of sequence")
        }
        var changed = service
        changed.previous = service.spec
        changed.spec = spec
        changed.registryAuth = registryAuth ?? service.registryAuth
        changed.previousTemplateVersion = service.templateVersion
        changed.rollout =
            isRollback
            ? RolloutStatus(
                state: .rollbackStarted, startedAt: SystemClock.now(), message: "manually requested rollback") : nil
        if spec.task == service.spec.task {
            // The tasks stay as they are.
        } else if spec.task == service.previous?.task {
            changed.templateVersion = service.previousTemplateVersion
        } else {
            changed.templateVersion = max(service.templateVersion, service.previousTemplateVersion) + 1
        }
        if spec.mode.isJob, spec.task != service.spec.task {
            changed.jobIteration += 1
            changed.jobExecuted = SystemClock.now().text
        }
        changed.version.advance(context.counter)
        do {
            try await tryBalance(spec)
            try await replace(changed)
        } catch {
            await balance()
            throw error
        }
        ring()
    }

    func remove() async throws {
        var changed = service
        changed.isRemoved = true
        try await replace(changed)
        // Before this returns its ports and names are free for another.
        await balance()
        ring()
    }

    /// Writes the service down anew.
    func replace(_ changed: ServiceRecord) async throws {
        let before = service
        service = changed
        do {
            try await context.store.put("service", service.id, service.json)
        } catch {
            service = before
            throw error
        }
    }
}
