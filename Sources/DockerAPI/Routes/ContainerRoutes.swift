import Base
import Engine
import Images
import Kernel
import Networks

/// Containers, but for their streams and files.
struct ContainerRoutes {
    let engine: Engine

    func register(_ router: inout Router) {
        router.get("/containers/json") { try await list($0) }
        router.post("/containers/create") { try await create($0) }
        router.post("/containers/prune") { try await prune($0) }
        router.get("/containers/{id}/json") { request in
            .json(try await find(request).inspect(size: request.query.flag("size")))
        }
        router.get("/containers/{id}/top") { request in
            .json(try await find(request).top(arguments: request.query.first("ps_args") ?? ""))
        }
        router.get("/containers/{id}/changes") { try await changes($0) }
        router.post("/containers/{id}/start") { request in
            try await find(request).start()
            return .noContent
        }
        router.post("/containers/{id}/stop") { request in
            try await find(request).stop(timeout: try request.query.int("t"), signal: request.query.first("signal"))
            return .noContent
        }
        router.post("/containers/{id}/restart") { request in
            try await find(request).restart(timeout: try request.query.int("t"), signal: request.query.first("signal"))
            return .noContent
        }
        router.post("/containers/{id}/kill") { request in
            try await find(request).kill(signal: request.query.first("signal") ?? "SIGKILL")
            return .noContent
        }
        router.post("/containers/{id}/pause") { request in
            try await find(request).pause()
            return .noContent
        }
        router.post("/containers/{id}/unpause") { request in
            try await find(request).unpause()
            return .noContent
        }
        router.post("/containers/{id}/rename") { request in
            try await engine.containers.rename(request.parameter("id"), to: request.query.first("name") ?? "")
            return .noContent
        }
        router.post("/containers/{id}/update") { request in
            .json(["Warnings": JSON(try await find(request).update(try await request.body.json()))])
        }
        router.post("/containers/{id}/wait") { try await wait($0) }
        router.delete("/containers/{id}") { request in
            try await find(request).remove(force: request.query.flag("force"), volumes: request.query.flag("v"))
            return .noContent
        }
    }

    private func find(_ request: Request) async throws -> Container {
        try await engine.containers.find(request.parameter("id"))
    }

    private func create(_ request: Request) async throws -> Response {
        let body = try await request.body.json()
        guard body.object != nil else { throw SkalaError(.invalid, "the body is no JSON object") }
        let created = try await engine.containers.create(name: request.query.first("name") ?? "", body: body)
        return .json(["Id": JSON(created.id), "Warnings": JSON(created.warnings)], status: 201)
    }

    private func changes(_ request: Request) async throws -> Response {
        let changes = try await find(request).changes()
        let list = changes.map { JSON.object(JSONObject([("Path", JSON($0.path)), ("Kind", JSON($0.kind))])) }
        return .json(list.isEmpty ? .null : JSON(list))
    }

    /// The head is sent at once: clients start the container when they see it.
    private func wait(_ request: Request) async throws -> Response {
        let text = request.query.first("condition") ?? ""
        guard let condition = text.isEmpty ? .notRunning : Container.WaitCondition(rawValue: text) else {
            throw SkalaError(.invalid, "invalid condition: \"\(text)\"")
        }
        let container = try await find(request)
        let waiting = await container.beginWait(for: condition)
        return .stream(contentType: "application/json") { writer in
            let code = await waiting.value
            try await writer.write(JSON.object(JSONObject([("StatusCode", JSON(code))])).bytes + [0x0A])
        }
    }

    // MARK: list

    static let filterNames: Set = [
        "ancestor", "before", "expose", "exited", "health", "id", "isolation", "is-task", "label", "name", "network",
        "publish", "since", "status", "volume",
    ]

    private func list(_ request: Request) async throws -> Response {
        let filters = try Filters(request, allowed: ContainerRoutes.filterNames)
        let limit = try request.query.int("limit") ?? 0
        let showsAll =
            request.query.flag("all") || limit > 0
            || ["status", "exited", "before", "since"].contains { filters.has($0) }
        for status in filters.all("status") where ContainerState.Status(rawValue: status) == nil {
            throw SkalaError(.invalid, "invalid filter 'status=\(status)'")
        }
        var rows: [(container: Container, record: ContainerRecord)] = []
        for container in await engine.containers.all() { rows.append((container, await container.snapshot)) }
        rows.sort { ($0.record.created, $0.record.id) > ($1.record.created, $1.record.id) }
        try await narrow(&rows, filters)
        var summaries: [JSON] = []
        for row in rows {
            if !showsAll, !row.record.state.isAlive, row.record.state.status != .restarting { continue }
            guard try await matches(row.container, row.record, filters) else { continue }
            summaries.append(try await row.container.summary(size: request.query.flag("size")))
            if limit > 0, summaries.count == limit { break }
        }
        return .json(JSON(summaries))
    }

    /// `before` and `since` name containers; the list is newest first.
    private func narrow(
        _ rows: inout [(container: Container, record: ContainerRecord)], _ filters: Filters
    ) async throws {
        for name in filters.all("before") {
            let other = try await engine.containers.find(name).snapshot.created
            rows.removeAll { $0.record.created >= other }
        }
        for name in filters.all("since") {
            let other = try await engine.containers.find(name).snapshot.created
            rows.removeAll { $0.record.created <= other }
        }
    }

    private func matches(_ container: Container, _ record: ContainerRecord, _ filters: Filters) async throws -> Bool {
        guard filters.prefix("id", record.id), filters.name("name", anyOf: [record.name]),
            filters.exact("status", record.state.status.rawValue),
            filters.exact("isolation", record.isolation.rawValue),
            filters.labels(record.config["Labels"].stringDictionary ?? [:])
        else { return false }
        if filters.has("exited") {
            let code = "\(record.state.exitCode)"
            guard record.state.status == .exited, filters.exact("exited", code) else { return false }
        }
        if filters.has("health") {
            guard filters.exact("health", await container.healthStatus) else { return false }
        }
        if filters.has("ancestor") {
            let image = try? await engine.images.find(record.imageID)
            let names =
                [record.imageName, record.imageID, String(record.imageID.dropFirst(7).prefix(12))] + (image?.tags ?? [])
            guard filters.any("ancestor", { value in names.contains(value) || names.contains(value + ":latest") })
            else {
                return false
            }
        }
        if filters.has("volume") {
            let names = record.mounts.flatMap { [$0.name, $0.source, $0.destination] }
            guard filters.exact("volume", anyOf: names) else { return false }
        }
        if filters.has("network") {
            var names = record.networks.keys
            for name in record.networks.keys {
                if let network = try? await engine.networks.find(name) { names.append(network.id) }
            }
            guard filters.any("network", { value in names.contains { $0 == value || $0.hasPrefix(value) } }) else {
                return false
            }
        }
        func ports(_ json: JSON) -> [String] {
            (json.object?.keys ?? []).flatMap { [$0, String($0.prefix { $0 != "/" })] }
        }
        return filters.exact("expose", anyOf: ports(record.config["ExposedPorts"]))
            && filters.exact("publish", anyOf: ports(record.hostConfig["PortBindings"]))
    }

    // MARK: prune

    private func prune(_ request: Request) async throws -> Response {
        let filters = try Filters(request, allowed: ["until", "label", "label!"])
        let limit = try PruneFilter(filters)
        var deleted: [String] = []
        var reclaimed: Int64 = 0
        for container in await engine.containers.all() {
            let record = await container.snapshot
            guard !record.state.isAlive, record.state.status != .restarting,
                limit.includes(record.created, record.config["Labels"].stringDictionary ?? [:])
            else { continue }
            let size = try await container.writtenBytes()
            do {
                try await container.remove(force: false, volumes: false)
            } catch let error as SkalaError where error.code == .conflict || error.code == .notFound {
                continue  // started or removed meanwhile
            }
            deleted.append(record.id)
            reclaimed += size
        }
        return .json(["ContainersDeleted": JSON(deleted), "SpaceReclaimed": JSON(reclaimed)])
    }
}
