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
        let size = body["ConsoleSize"]
        if body["Detach"].bool ?? false {
            _ = try await container.startExec(session, attached: false, consoleSize: size)
            return Response(status: 200)
        }
        try await container.requireStartable(session)
        let raw = session.hasTerminal
        // The head goes first: docker-py loses output that comes together with it.
        return Response(
            body: .hijack(contentType: StreamRelay.contentType(raw: raw)) { connection in
                let relay = StreamRelay(connection: connection, raw: raw)
                do {
                    let attachment = try await container.startExec(session, attached: true, consoleSize: size)
                    guard let attachment else { return }
                    // Clients ask for the exit code as soon as the output has ended, and take a missing one for 0.
                    await relay.run(attachment) { await session.waitForExit(seconds: 5) }
                } catch {
                    // As Docker: that it cannot be executed is told in the stream, and clients find 126 or 127.
                    await relay.tell(skalaError(from: error).message + "\r\n")
                }
            })
    }
}
