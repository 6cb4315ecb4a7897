import Base
import Engine

/// Volumes.
struct VolumeRoutes {
    let engine: Engine

    func register(_ router: inout Router) {
        router.get("/volumes") { try await list($0) }
        router.post("/volumes/create") { request in
            let body = try await request.body.json()
            try RefusedFields.check("VolumeCreate", body)
            let volume = try await engine.volumes.create(
                name: body["Name"].string ?? "", driver: body["Driver"].string ?? "local",
                options: body["DriverOpts"].stringDictionary ?? [:], labels: body["Labels"].stringDictionary ?? [:])
            return .json(volume.json, status: 201)
        }
        router.post("/volumes/prune") { try await prune($0) }
        router.get("/volumes/{name}") { request in
            .json(try await engine.volumes.find(request.parameter("name")).json)
        }
        router.refuse(
            "PUT", "/volumes/{name}",
            SkalaError(.unavailable, "this node is not a swarm manager; only cluster volumes can be updated"))
        router.delete("/volumes/{name}") { request in
            try await engine.volumes.remove(request.parameter("name"), force: request.query.flag("force"))
            return .noContent
        }
    }

    private func list(_ request: Request) async throws -> Response {
        let filters = try Filters(request, allowed: ["dangling", "driver", "label", "name"])
        let isDangling = try filters.flag("dangling")
        var documents: [JSON] = []
        for volume in await engine.volumes.list() {
            guard filters.exact("driver", "local"), filters.labels(volume.labels),
                filters.name("name", anyOf: [volume.name])
            else { continue }
            if let isDangling, await engine.volumes.isUsed(volume.name) == isDangling { continue }
            documents.append(volume.json)
        }
        return .json(["Volumes": JSON(documents), "Warnings": .null])
    }

    private func prune(_ request: Request) async throws -> Response {
        let filters = try Filters(request, allowed: ["label", "label!", "all", "until"])
        // Named volumes hold what somebody wanted to keep: only with all=1.
        let takesNamed = try filters.flag("all") ?? false
        let limit = try PruneFilter(filters)
        var deleted: [String] = []
        var reclaimed: Int64 = 0
        await engine.volumes.sweep()
        for volume in await engine.volumes.list() {
            guard takesNamed || volume.isAnonymous, limit.includes(volume.created, volume.labels),
                await !engine.volumes.isUsed(volume.name)
            else { continue }
            let size = try await engine.volumes.size(of: volume)
            try await engine.volumes.remove(volume.name, force: true)
            deleted.append(volume.name)
            reclaimed += size
        }
        return .json(["VolumesDeleted": JSON(deleted), "SpaceReclaimed": JSON(reclaimed)])
    }
}
