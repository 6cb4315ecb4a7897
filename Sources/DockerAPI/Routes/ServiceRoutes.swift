import Base
import Engine
import Images
import Planning
import Services

/// Services of swarm mode.
struct ServiceRoutes {
    let engine: Engine
    let cluster: Cluster

    func register(_ router: inout Router) {
        router.get("/services") { try await list($0) }
        router.post("/services/create") { request in
            let (id, warnings) = try await cluster.create(
                service: try await request.body.json(), registryAuth: registryAuth(request))
            return .json(["ID": JSON(id), "Warnings": warnings.isEmpty ? .null : JSON(warnings)], status: 201)
        }
        router.get("/services/{id}") { request in
            .json(try await document(try await cluster.service(request.parameter("id"))))
        }
        router.post("/services/{id}/update") { request in
            guard let index = try request.query.int("version") else {
                throw SkalaError(.invalid, "invalid service version ''")
            }
            let rollback = request.query.first("rollback") ?? ""
            guard ["", "previous"].contains(rollback) else {
                throw SkalaError(.invalid, "unrecognized rollback option \(rollback)")
            }
            let warnings = try await cluster.update(
                service: request.parameter("id"), index: index, isRollback: !rollback.isEmpty,
                to: try await request.body.json(), registryAuth: registryAuth(request))
            return .json(["Warnings": warnings.isEmpty ? .null : JSON(warnings)])
        }
        router.delete("/services/{id}") { request in
            try await cluster.remove(service: request.parameter("id"))
            return Response(status: 200)
        }
        router.get("/skala/v1/services/{id}/explain") { request in
            .json(try await cluster.explanation(of: request.parameter("id")))
        }
        router.get("/services/{id}/logs") { request in
            let service = try await cluster.service(request.parameter("id"))
            return try await TaskLogs(engine: engine, cluster: cluster).response(
                request, hasTerminal: service.spec.task.container["TTY"].bool ?? false
            ) { try await cluster.tasks(of: service.id) }
        }
    }

    /// The header, when it holds credentials.
    private func registryAuth(_ request: Request) -> String? {
        request.header("X-Registry-Auth").flatMap { RegistryCredentials(header: $0) == nil ? nil : $0 }
    }

    private func list(_ request: Request) async throws -> Response {
        let filters = try Filters(request, allowed: ["id", "label", "mode", "name", "runtime"])
        var documents: [JSON] = []
        for service in try await cluster.services() {
            guard filters.prefix("id", service.id), filters.any("name", service.name.hasPrefix),
                filters.labels(service.spec.labels), filters.exact("mode", service.spec.mode.name),
                filters.exact("runtime", "container")
            else { continue }
            var document = try await document(service)
            if request.query.flag("status") {
                document["ServiceStatus"] = status(service, try await cluster.tasks(of: service.id))
            }
            documents.append(document)
        }
        return .json(JSON(documents))
    }

    private func document(_ service: ServiceRecord) async throws -> JSON {
        var document = service.document
        document["Endpoint"] = await cluster.endpoint(of: service)
        return document
    }

    private func status(_ service: ServiceRecord, _ tasks: [TaskRecord]) -> JSON {
        let status = ServiceStatus(service, tasks)
        return [
            "RunningTasks": JSON(status.running), "DesiredTasks": JSON(status.desired),
            "CompletedTasks": JSON(status.completed),
        ]
    }
}
