import Base
import Engine
import Planning
import Services

/// Tasks of services.
struct TaskRoutes {
    let engine: Engine
    let cluster: Cluster

    func register(_ router: inout Router) {
        router.get("/tasks") { try await list($0) }
        router.get("/tasks/{id}") { request in
            .json(await cluster.document(of: try await cluster.task(request.parameter("id"))))
        }
        router.get("/tasks/{id}/logs") { request in
            let task = try await cluster.task(request.parameter("id"))
            return try await TaskLogs(engine: engine, cluster: cluster).response(
                request, hasTerminal: task.spec.container["TTY"].bool ?? false
            ) { [try await cluster.task(task.id)] }
        }
    }

    private func list(_ request: Request) async throws -> Response {
        let filters = try Filters(
            request,
            allowed: ["id", "label", "name", "node", "service", "desired-state", "runtime", "_up-to-date"])
        for state in filters.all("desired-state") where !["running", "shutdown", "accepted"].contains(state) {
            throw SkalaError(.invalid, "invalid filter 'desired-state=\(state)'")
        }
        let isUpToDate = try filters.flag("_up-to-date")
        var services: [String: ServiceRecord] = [:]
        for service in try await cluster.services() { services[service.id] = service }
        var documents: [JSON] = []
        for task in try await cluster.tasks() {
            guard let service = services[task.serviceID] else { continue }
            let name = "\(service.name).\(task.slot == 0 ? task.nodeID : "\(task.slot)").\(task.id)"
            guard filters.prefix("id", task.id), filters.any("name", name.hasPrefix),
                filters.labels(service.spec.labels),
                filters.any("node", { task.nodeID.hasPrefix($0) || $0 == "self" }),
                filters.any("service", { task.serviceID.hasPrefix($0) || service.name == $0 }),
                filters.exact("runtime", "container"),
                filters.any("desired-state", { $0 == (task.isWanted ? "running" : "shutdown") })
            else { continue }
            if let isUpToDate, isUpToDate != (task.templateVersion == service.templateVersion) { continue }
            documents.append(await cluster.document(of: task))
        }
        return .json(JSON(documents))
    }
}
