import Base
import Services

/// Secrets and configs of swarm mode.
struct SwarmFileRoutes {
    let cluster: Cluster

    func register(_ router: inout Router) {
        for kind in [SwarmFile.Kind.secret, .config] {
            let path = "/\(kind.rawValue)s"
            router.get(path) { try await list(kind, $0) }
            router.post(path + "/create") { request in
                .json(["ID": JSON(try await cluster.create(kind, try await request.body.json()))], status: 201)
            }
            router.get(path + "/{id}") { request in
                .json(try await cluster.file(kind, request.parameter("id")).document)
            }
            router.post(path + "/{id}/update") { request in
                let index = try request.query.int("version") ?? 0
                try await cluster.update(
                    kind, request.parameter("id"), index: index, to: try await request.body.json())
                return Response(status: 200)
            }
            router.delete(path + "/{id}") { request in
                try await cluster.remove(kind, request.parameter("id"))
                return .noContent
            }
        }
    }

    private func list(_ kind: SwarmFile.Kind, _ request: Request) async throws -> Response {
        let filters = try Filters(request, allowed: ["id", "label", "name", "names"])
        let files = try await cluster.all(kind).filter { file in
            filters.prefix("id", file.id) && filters.any("name", file.name.hasPrefix)
                && filters.exact("names", file.name) && filters.labels(file.labels)
        }
        return .json(JSON(files.map(\.document)))
    }
}
