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
        } catch let error as SkalaError where !isDetached && session.hasExited {
            // As Docker: that the program cannot be executed is told in the stream, and clients find 126 or 127.
            return Response(
                body: .hijack(contentType: StreamRelay.contentType(raw: raw)) { connection in
                    await StreamRelay(connection: connection, raw: raw).tell(
                        "OCI runtime exec failed: \(error.message)\r\n")
                })
        }
        guard let attachment else { return Response(status: 200) }
        return Response(
            body: .hijack(contentType: StreamRelay.contentType(raw: raw)) { connection in
                // Clients ask for the exit code as soon as the output has ended, and take a missing one for 0.
                await StreamRelay(connection: connection, raw: raw).run(attachment) {
                    await session.waitForExit(seconds: 5)
                }
            })
    }
}
