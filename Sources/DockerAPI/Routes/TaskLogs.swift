import Base
import Engine
import Services

/// The logs of several tasks in one stream: each line with what tells its task, when details are asked for.
struct TaskLogs {
    let engine: Engine
    let cluster: Cluster

    /// How often it is looked whether a followed service has new tasks.
    private static let interval: UInt64 = 200_000_000

    /// - Parameter tasks: asked again and again when following.
    func response(
        _ request: Request, hasTerminal: Bool, _ tasks: @escaping @Sendable () async throws -> [TaskRecord]
    ) async throws -> Response {
        let query = request.query
        var wanted = LogReader.Request()
        wanted.stdout = query.flag("stdout")
        wanted.stderr = query.flag("stderr")
        guard wanted.stdout || wanted.stderr else {
            throw SkalaError(.invalid, "Bad parameters: you must choose at least one stream")
        }
        let follows = query.flag("follow")
        wanted.follow = follows
        wanted.since = try ContainerStreamRoutes.time(query.first("since"))
        wanted.tail = query.first("tail").flatMap { Int($0) }.flatMap { $0 >= 0 ? $0 : nil }
        let showsTime = query.flag("timestamps")
        let showsDetails = query.flag("details")
        let chosen = wanted
        return .stream(contentType: StreamRelay.contentType(raw: hasTerminal)) { writer in
            @Sendable func write(_ entries: [LogReader.Entry], _ details: String) async throws {
                var bytes: [UInt8] = []
                for entry in entries {
                    var text = showsTime ? entry.time.paddedText + " " : ""
                    if showsDetails { text += details + " " }
                    let line = Array((text + entry.text).utf8)
                    bytes +=
                        hasTerminal
                        ? line : StreamFraming.frame(entry.channel == 2 ? .standardError : .standardOutput, line)
                }
                try await writer.write(bytes)
            }
            let reading = Task {
                try await withThrowingTaskGroup(of: Void.self) { group in
                    var known: Set<String> = []
                    repeat {
                        for task in try await tasks() where !task.containerID.isEmpty && !known.contains(task.id) {
                            known.insert(task.id)
                            group.addTask { try await read(task, chosen) { try await write($0, details(task)) } }
                        }
                        guard follows else { break }
                        try await Task.sleep(nanoseconds: TaskLogs.interval)
                    } while !Task.isCancelled
                    try await group.waitForAll()
                }
            }
            writer.onClose { reading.cancel() }
            try await reading.value
        }
    }

    private func read(
        _ task: TaskRecord, _ wanted: LogReader.Request, _ body: ([LogReader.Entry]) async throws -> Void
    ) async throws {
        // Removed in the meantime: then there is nothing to read.
        guard let container = try? await engine.containers.find(task.containerID), let path = await container.logFile
        else { return }
        try await LogReader(path: path, request: wanted, threads: engine.threads).read(
            isAlive: { await container.isAlive }, body)
    }

    private func details(_ task: TaskRecord) -> String {
        [("node.id", task.nodeID), ("service.id", task.serviceID), ("task.id", task.id)]
            .map { "com.docker.swarm.\($0.0)=\($0.1)" }.joined(separator: ",")
    }
}
