import Base
import Engine

/// Further processes in running containers.
struct ExecRoutes {
    let engine: Engine

    func register(_ router: inout Router) {
        router.post("/containers/{id}/exec") { request in
            let container = try await engine.containers.find(request.parameter("id"))
            let session = try await container.createExec(try await request.body.json())
            return .json(["Id": JSON(session.id)], status: 201)
        }
        router.post("/exec/{id}/start") { try await start($0) }
        router.post("/exec/{id}/resize") { request in
            let (container, session) = try await engine.containers.find(exec: request.parameter("id"))
            let rows = try request.query.int("h") ?? 0
            try await container.resizeExec(session, rows: rows, columns: try request.query.int("w") ?? 0)
            return .noContent
        }
        router.get("/exec/{id}/json") { request in
            .json(try await engine.containers.find(exec: request.parameter("id")).1.json)
        }
    }

    private func start(_ request: Request) async throws -> Response {
        let (container, session) = try await engine.containers.find(exec: request.parameter("id"))
        let body = try await request.body.json()
        let isDetached = body["Detach"].bool ?? false
        let raw = session.hasTerminal
        let attachment: Attachment?
        do {
            attachment = try await container.startExec(
                session, attached: !isDetached, consoleSize: body["ConsoleSize"])
        } catch  where !isDetached && session.hasFailedToStart {
            // As Docker: the client is told in the stream, and asks for the exit code (126 or 127) afterwards.
            let text = Array("OCI runtime exec failed: \(error)\r\n".utf8)
            return Response(
                body: .hijack(contentType: StreamRelay.contentType(raw: raw)) { connection in
                    // The client may have gone.
                    try? await StreamRelay(connection: connection, raw: raw).send(2, text)
                    await connection.closeOutput()
                })
        }
        guard let attachment else { return Response(status: 200) }
        return Response(
            body: .hijack(contentType: StreamRelay.contentType(raw: raw)) { connection in
                await StreamRelay(connection: connection, raw: raw).run(attachment)
            })
    }
}
