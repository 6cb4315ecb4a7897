import Base
import Engine
import Images
import Kernel
import OCI

/// Building images, as the classic builder's clients ask for it.
struct BuildRoutes {
    let engine: Engine

    func register(_ router: inout Router) {
        router.post("/build") { try await build($0) }
        router.post("/build/prune") { request in
            try RefusedFields.check("BuildPrune", request.query)
            // What a filter is for is not known of the cache: nothing is known to be old, or private.
            let isFiltered = !(request.query.first("filters") ?? "{}").isUnsetParameter
            let freed = isFiltered ? 0 : try await engine.builder.prune()
            return .json(["CachesDeleted": .null, "SpaceReclaimed": JSON(freed)])
        }
    }

    /// The build cache in `GET /system/df`: one store.
    static func cacheDocument(_ bytes: Int64) -> JSON {
        [
            "ID": "buildah", "Type": "regular", "Description": "layers of image builds", "InUse": false,
            "Shared": false, "Size": JSON(bytes), "CreatedAt": JSON(Timestamp.zeroText), "LastUsedAt": .null,
            "UsageCount": 0,
        ]
    }

    private func build(_ request: Request) async throws -> Response {
        let wanted = try BuildRequest(request.query, registryConfiguration: request.header("X-Registry-Config"))
        let isQuiet = request.query.flag("q")
        let body = request.body
        return JSONLines.progress { report in
            let image = try await BodyPipe.reading(body) { descriptor in
                try await engine.builder.build(wanted, context: descriptor) { if !isQuiet { report($0) } }
            }
            report(["aux": ["ID": JSON(image.id)]])
            if isQuiet {
                report(["stream": JSON(image.id + "\n")])
            } else {
                let short = Identifier.short(String(image.id.dropFirst("sha256:".count)))
                report(["stream": JSON("Successfully built \(short)\n")])
                for tag in wanted.tags { report(["stream": JSON("Successfully tagged \(tag.familiar)\n")]) }
            }
            engine.events.publish("image", "build", image.id, ["name": wanted.tags.first?.familiar ?? image.id])
        }
    }
}
