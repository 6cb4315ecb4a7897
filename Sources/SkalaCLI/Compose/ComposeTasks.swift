import Base
import Client
import Glibc
import Kernel
import Synchronization

/// What `skala ps` and `skala logs` show when they are asked for a project.
enum ComposeTasks {
    /// As `ComposeCommands.location`, where `-f` means something else.
    static let location: [Option] = [
        .list("file", "FILE", "Those of the services of this Compose file", .files),
        .value("project", "NAME", "Those of the services of this project"),
    ]

    static func isAsked(_ arguments: Arguments) -> Bool { arguments.has("file") || arguments.has("project") }

    /// `skala ps --project NAME`: the tasks, those that ended too with `--all`.
    static func list(_ call: Invocation) throws -> Int32 {
        let project = try ComposeCommands.projectName(call)
        let now = SystemClock.now()
        var rows: [JSON] = []
        for service in try ComposeCommands.services(of: project, call.client) {
            let name = service["Spec"]["Name"].plain
            let tasks = try call.client.json(.get("/tasks", query: try API.filters(["service=\(name)"]))).array ?? []
            for task in tasks.sorted(by: { order($0) < order($1) }) {
                let state = task["Status"]["State"].plain
                let isOver = task["DesiredState"].plain == "shutdown" || task["DesiredState"].plain == "remove"
                guard call.arguments.flag("all") || !isOver || state == "running" else { continue }
                // The engine's own text.
                let since = (try? Timestamp(parsing: task["Status"]["Timestamp"].plain)) ?? now
                rows.append([
                    "ID": JSON(Identifier.short(task["ID"].plain)),
                    "Name": JSON("\(name.dropFirst(project.count + 1)).\(task["Slot"].int ?? 0)"),
                    "Image": task["Spec"]["ContainerSpec"]["Image"], "DesiredState": task["DesiredState"],
                    "CurrentState": JSON("\(state) \(HumanDuration.text(now.seconds - since.seconds)) ago"),
                    "Error": JSON(task["Status"]["Err"].string ?? ""),
                ])
            }
        }
        if call.arguments.flag("quiet"), !call.arguments.has("format") {
            try call.output.write(rows.map { $0["ID"].plain + "\n" }.joined())
            return 0
        }
        try call.output.list(
            rows,
            [
                ("ID", "ID"), ("TASK", "Name"), ("IMAGE", "Image"), ("WANTED", "DesiredState"),
                ("STATE", "CurrentState"),
                ("ERROR", "Error"),
            ], format: call.arguments["format"])
        return 0
    }

    private static func order(_ task: JSON) -> (Int64, String) { (task["Slot"].int ?? 0, task["CreatedAt"].plain) }

    /// `skala logs --project NAME [SERVICE...]`: each line with its service in front.
    static func logs(_ call: Invocation, query: [(name: String, value: String)]) throws -> Int32 {
        let project = try ComposeCommands.projectName(call)
        let wanted = Set(call.arguments.positional)
        let names = try ComposeCommands.services(of: project, call.client).map { $0["Spec"]["Name"].plain }
        let keys = names.map { String($0.dropFirst(project.count + 1)) }
        if let unknown = wanted.subtracting(keys).sorted().first {
            throw SkalaError(.notFound, "the project \(project) has no service '\(unknown)'")
        }
        let chosen = zip(keys, names).filter { wanted.isEmpty || wanted.contains($0.0) }
        let width = chosen.map(\.0.count).max() ?? 0
        // Each has a connection that blocks.
        let threads = WorkerThreads(limit: max(1, chosen.count))
        let address = call.client.address
        let output = Mutex(())
        let failures = Mutex<[String]>([])
        let left = Mutex(chosen.count)
        for (key, name) in chosen {
            threads.submit {
                let prefix = key + String(repeating: " ", count: width - key.count) + " | "
                do {
                    let response = try EngineClient(address).send(.get("/services/\(name)/logs", query: query))
                    try follow(response) { channel, line in
                        output.withLock { _ in StandardStreams.write(channel, Array(prefix.utf8) + line + [0x0A]) }
                    }
                } catch { failures.withLock { $0.append("\(key): \(error)") } }
                left.withLock { $0 -= 1 }
            }
        }
        while left.withLock({ $0 }) > 0 { Sleep.milliseconds(20) }
        for failure in failures.withLock({ $0 }) { StandardStreams.error("skala: \(failure)\n") }
        return failures.withLock { $0.isEmpty } ? 0 : 1
    }

    /// Hands over the lines of a log, and the last one although it does not end.
    private static func follow(_ response: HTTPResponse, _ line: (Int32, [UInt8]) -> Void) throws {
        let isRaw = response.head.header("Content-Type") == "application/vnd.docker.raw-stream"
        var demultiplexer = StreamDemultiplexer()
        var rest: [Int32: [UInt8]] = [:]
        func take(_ channel: Int32, _ bytes: ArraySlice<UInt8>) {
            var whole = (rest[channel] ?? []) + bytes
            while let end = whole.firstIndex(of: 0x0A) {
                line(channel, Array(whole[..<end]))
                whole.removeSubrange(...end)
            }
            rest[channel] = whole
        }
        while true {
            let bytes = try response.next()
            if bytes.isEmpty { break }
            if isRaw {
                take(1, bytes[...])
            } else {
                for piece in demultiplexer.take(bytes) { take(piece.channel == .error ? 2 : 1, piece.bytes) }
            }
        }
        for (channel, bytes) in rest.sorted(by: { $0.key < $1.key }) where !bytes.isEmpty { line(channel, bytes) }
    }
}
