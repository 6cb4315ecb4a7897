import Base
import Engine
import Kernel

/// Attach, logs, stats and resize of containers.
struct ContainerStreamRoutes {
    let engine: Engine

    func register(_ router: inout Router) {
        router.post("/containers/{id}/attach") { try await attach($0) }
        router.get("/containers/{id}/logs") { try await logs($0) }
        router.get("/containers/{id}/stats") { try await stats($0) }
        router.post("/containers/{id}/resize") { request in
            let rows = try request.query.int("h") ?? 0
            let columns = try request.query.int("w") ?? 0
            try await find(request).resize(rows: rows, columns: columns)
            return .noContent
        }
        router.refuse(
            "GET", "/containers/{id}/attach/ws",
            SkalaError(.unsupported, "attach over a web socket is not supported; use POST /containers/{id}/attach"))
    }

    private func find(_ request: Request) async throws -> Container {
        try await engine.containers.find(request.parameter("id"))
    }

    // MARK: attach

    private func attach(_ request: Request) async throws -> Response {
        let container = try await find(request)
        let hasTerminal = await container.hasTerminal
        let query = request.query
        var replay: LogReader?
        if query.flag("logs"), let path = await container.logFile {
            var wanted = LogReader.Request()
            wanted.stdout = query.flag("stdout")
            wanted.stderr = query.flag("stderr")
            replay = LogReader(path: path, request: wanted, threads: engine.threads)
        }
        guard query.flag("stream") else {
            return hijack(nil, replay: replay, raw: hasTerminal)
        }
        let attachment = try await container.attach(
            stdin: query.flag("stdin"), stdout: query.flag("stdout"), stderr: query.flag("stderr"))
        return hijack(attachment, replay: replay, raw: hasTerminal)
    }

    private func hijack(_ attachment: Attachment?, replay: LogReader?, raw: Bool) -> Response {
        Response(
            body: .hijack(contentType: StreamRelay.contentType(raw: raw)) { connection in
                let relay = StreamRelay(connection: connection, raw: raw)
                do {
                    if let replay {
                        try await replay.read(isAlive: { false }) { entries in
                            for entry in entries { try await relay.send(entry.channel, Array(entry.text.utf8)) }
                        }
                    }
                } catch { return }  // the client has gone
                if let attachment { await relay.run(attachment) }
            })
    }

    // MARK: logs

    private func logs(_ request: Request) async throws -> Response {
        let container = try await find(request)
        let query = request.query
        var wanted = LogReader.Request()
        wanted.stdout = query.flag("stdout")
        wanted.stderr = query.flag("stderr")
        guard wanted.stdout || wanted.stderr else {
            throw SkalaError(.invalid, "Bad parameters: you must choose at least one stream")
        }
        wanted.follow = query.flag("follow")
        wanted.since = try ContainerStreamRoutes.time(query.first("since"))
        wanted.until = try ContainerStreamRoutes.time(query.first("until"))
        wanted.tail = query.first("tail").flatMap { Int($0) }.flatMap { $0 >= 0 ? $0 : nil }
        guard let path = await container.logFile else {
            throw SkalaError(.unsupported, "configured logging driver does not support reading")
        }
        let reader = LogReader(path: path, request: wanted, threads: engine.threads)
        let raw = await container.hasTerminal
        let showsTime = query.flag("timestamps")
        return .stream(contentType: StreamRelay.contentType(raw: raw)) { writer in
            let reading = Task {
                try await reader.read(isAlive: { await container.isAlive }) { entries in
                    var bytes: [UInt8] = []
                    for entry in entries {
                        let text = Array((showsTime ? entry.time.paddedText + " " + entry.text : entry.text).utf8)
                        bytes +=
                            raw
                            ? text : StreamFraming.frame(entry.channel == 2 ? .standardError : .standardOutput, text)
                    }
                    try await writer.write(bytes)
                }
            }
            writer.onClose { reading.cancel() }
            try await reading.value
        }
    }

    static func time(_ text: String?) throws -> Timestamp? {
        guard let text, !text.isEmpty, text != "0" else { return nil }
        return try Timestamp(parsing: text)
    }

    // MARK: stats

    private func stats(_ request: Request) async throws -> Response {
        let container = try await find(request)
        let first = try await container.stats(previous: nil)
        guard request.query.flag("stream", default: true) else {
            if request.query.flag("one-shot") { return .json(first) }
            // Two readings a second apart, so that the client can tell a CPU load.
            try await Task.sleep(nanoseconds: 1_000_000_000)
            return .json(try await container.stats(previous: first))
        }
        return .stream(contentType: "application/json") { writer in
            var previous = first
            try await writer.write(previous.bytes + [0x0A])
            while await !container.isGone {
                try await Task.sleep(nanoseconds: 1_000_000_000)
                previous = try await container.stats(previous: previous)
                try await writer.write(previous.bytes + [0x0A])
            }
        }
    }
}
