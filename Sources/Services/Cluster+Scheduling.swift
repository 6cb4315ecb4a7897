import Base
import Planning

extension Cluster {
    /// Nodes for tasks that have none, by task; or why there is none.
    func place(_ tasks: [TaskRecord], of service: ServiceRecord) -> [String: Result<String, SkalaError>] {
        var places: [String: Result<String, SkalaError>] = [:]
        waiting.remove(service.id)
        for task in tasks {
            // A daemon that was killed before it wrote the node down placed it already.
            if let seat = seats[task.id], let node = scheduler.node(of: seat) {
                places[task.id] = .success(node)
                continue
            }
            let demand = Demand(service: service.spec, task: task.spec)
            let placed = scheduler.place(demand, of: service.name)
            if let seat = placed.seats.first, let node = scheduler.node(of: seat) {
                seats[task.id] = seat
                places[task.id] = .success(node)
            } else {
                waiting.insert(service.id)
                places[task.id] = .failure(
                    SkalaError(.exhausted, placed.shortfall.map { "\($0)" } ?? "no suitable node"))
            }
        }
        return places
    }

    /// Why no node could ever take a task of the service; nil when one can.
    func impossibility(of service: ServiceRecord) -> String? {
        scheduler.impossibility(of: Demand(service: service.spec, task: service.spec.task)).map { "\($0)" }
    }

    /// A task has ended: who waits for its place may try again.
    func leaveSeat(_ task: String) {
        guard let seat = seats.removeValue(forKey: task) else { return }
        scheduler.release(seat)
        for service in waiting { reconcilers[service]?.ring() }
    }

    /// Those that a service with a task on each wants one on.
    func nodes(for service: ServiceRecord) -> [String] {
        scheduler.nodes(for: Demand(service: service.spec, task: service.spec.task), of: service.name)
    }
}

extension Demand {
    init(service: ServiceSpec, task: TaskSpec) {
        let allocation = task.allocation.flatMap(Allocation.init(rawValue:)) ?? .shared
        var reservations = task.resources.reservations
        if allocation == .dedicated {
            // What it has for itself is its limit.
            reservations.nanoCPUs = max(reservations.nanoCPUs, task.resources.limits.nanoCPUs)
            reservations.memoryBytes = max(reservations.memoryBytes, task.resources.limits.memoryBytes)
        }
        let ports = service.endpoint.ports.filter { $0.publishMode == .host && $0.publishedPort != 0 }
        self.init(
            reservations: reservations, allocation: allocation, isolation: task.isolation,
            constraints: task.placement.constraints,
            platforms: (task.placement.platforms.array ?? []).map {
                .init(os: $0["OS"].string ?? "", architecture: $0["Architecture"].string ?? "")
            },
            spread: task.placement.spread, maximumReplicas: task.placement.maximumReplicas,
            hostPorts: ports.map { HostPort(port: $0.publishedPort, transport: $0.transport) },
            tenancy: task.tenant.map { Tenancy(tenant: $0) }, profile: service.profile)
    }
}
