import Base
import Engine
import Images
import Kernel

/// Copying files in and out of containers, and their whole file system out.
struct ContainerFileRoutes {
    let engine: Engine

    func register(_ router: inout Router) {
        router.head("/containers/{id}/archive") { request in
            let container = try await find(request)
            let path = try path(request)
            let stat = try await naming(path, in: request) {
                try await container.fileStatus(path)
            }
            return Response(headers: [header(stat)])
        }
        router.get("/containers/{id}/archive") { try await get($0) }
        router.put("/containers/{id}/archive") { request in
            let container = try await find(request)
            let replaces = !request.query.flag("noOverwriteDirNonDir")
            let path = try path(request)
            try await naming(path, in: request) {
                try await BodyPipe.reading(request.body) { descriptor in
                    try await container.unpack(path, from: descriptor, replacesDirectories: replaces)
                }
            }
            return Response(status: 200)
        }
        router.get("/containers/{id}/export") { request in
            let container = try await find(request)
            try await container.requireWarden("exporting files")
            return .stream(contentType: "application/x-tar") { writer in
                try await BodyPipe.writing(writer) { output in
                    try await container.export(to: output)
                }
            }
        }
    }

    private func find(_ request: Request) async throws -> Container {
        try await engine.containers.find(request.parameter("id"))
    }

    private func path(_ request: Request) throws -> String {
        guard let path = request.query.first("path"), !path.isEmpty else {
            throw SkalaError(.invalid, "bad parameters: path cannot be empty")
        }
        return path
    }

    /// What is missing is told with the container's name as the client gave it.
    private func naming<Value: Sendable>(
        _ path: String, in request: Request, _ body: () async throws -> Value
    ) async throws -> Value {
        do {
            return try await body()
        } catch let error as SkalaError where error.code == .notFound {
            throw SkalaError(
                .notFound, "Could not find the file \(path) in container \(request.parameter("id"))", cause: error)
        }
    }

    /// The `X-Docker-Container-Path-Stat` header: base64 of a JSON document.
    private func header(_ stat: JSON) -> (name: String, value: String) {
        ("X-Docker-Container-Path-Stat", Base64.encode(stat.bytes))
    }

    private func get(_ request: Request) async throws -> Response {
        let container = try await find(request)
        let path = try path(request)
        let stat = try await naming(path, in: request) {
            try await container.fileStatus(path)
        }
        return Response(
            headers: [("Content-Type", "application/x-tar"), header(stat)],
            body: .stream { writer in
                try await BodyPipe.writing(writer) { output in
                    try await container.pack(path, to: output)
                }
            })
    }
}
