public import Base
import Images
import Kernel
import Synchronization

extension Container {
    /// Prepares an exec; it runs with `startExec`.
    ///
    /// - Throws: `.conflict` unless the container runs; `.invalid` without a command.
    public func createExec(_ config: JSON) async throws -> ExecSession {
        try requireWarden("exec")
        guard record.state.isAlive else { throw SkalaError(.conflict, "container \(id) is not running") }
        if record.state.status == .paused {
            throw SkalaError(.conflict, "container \(record.name) is paused, unpause the container before exec")
        }
        try requireNoStall()
        guard let command = config["Cmd"].strings, !command.isEmpty else {
            throw SkalaError(.invalid, "No exec command specified")
        }
        let session = ExecSession(id: Identifier.make(), containerID: id, config: config)
        pruneExecs()
        execs[session.id] = session
        await containers.register(exec: session.id, of: id)
        publish("exec_create: " + command.joined(separator: " "), ["execID": session.id])
        return session
    }

    /// How many ended execs are remembered for `GET /exec/{id}/json`.
    private static let execLimit = 64

    private func pruneExecs() {
        let ended = execs.values.filter { $0.exitCode.current != nil }
        guard ended.count >= Container.execLimit else { return }
        let due = ended.map(\.id)
        for exec in due { execs[exec] = nil }
        Task { await containers.forget(execs: due) }
    }

    public func exec(_ id: String) throws -> ExecSession {
        guard let session = execs[id] else { throw SkalaError(.notFound, "No such exec instance: \(id)") }
        return session
    }

    /// Runs the exec; with `attached` its streams are answered.
    ///
    /// - Throws: `.conflict` when it ran already; `.notFound` or `.forbidden` when the program cannot be executed.
    public func startExec(_ session: ExecSession, attached: Bool, consoleSize: JSON) async throws -> Attachment? {
        let isFirst = session.state.withLock { state in
            defer { state.hasStarted = true }
            return !state.hasStarted
        }
        guard isFirst else { throw SkalaError(.conflict, "exec \(session.id) has already run") }
        do {
            return try await runExec(session, attached: attached, consoleSize: consoleSize)
        } catch {
            session.exited((error as? SkalaError)?.code == .notFound ? 127 : 126)
            throw error
        }
    }

    /// - Throws: `.conflict` when the exec ran already, or the container does not run: before anything is started.
    public func requireStartable(_ session: ExecSession) throws {
        guard !session.state.withLock({ $0.hasStarted }) else {
            throw SkalaError(.conflict, "exec \(session.id) has already run")
        }
        try requireRunning()
    }

    private func runExec(_ session: ExecSession, attached: Bool, consoleSize: JSON) async throws -> Attachment? {
        try requireRunning()
        let config = session.config
        var io: JSON = [
            "terminal": JSON(session.hasTerminal), "stdin": JSON(attached && config["AttachStdin"].bool == true),
            "stdinOnce": true,
        ]
        let size = consoleSize.isNull ? config["ConsoleSize"] : consoleSize
        if let rows = size[0].int, let columns = size[1].int, rows > 0 {
            io["rows"] = JSON(rows)
            io["columns"] = JSON(columns)
        }
        var request: JSON = [
            "id": JSON(id), "exec": JSON(session.id), "process": try await execProcess(config), "io": io,
        ]
        var attachment: Attachment?
        if attached {
            let stream = WardenStream()
            try sandbox.open(stream)
            let wanted = Attachment(
                stream: stream, stdin: config["AttachStdin"].bool ?? false,
                stdout: config["AttachStdout"].bool ?? false, stderr: config["AttachStderr"].bool ?? false)
            request["attach"] = [wanted.request]
            attachment = wanted
        }
        do {
            session.state.withLock { $0.isRunning = true }
            let answer = try await sandbox.request("exec", request)
            attachment?.stream.connected()
            session.state.withLock { $0.pid = answer["pid"].int ?? 0 }
        } catch {
            attachment?.stream.end()
            throw error
        }
        publish("exec_start: " + (config["Cmd"].strings ?? []).joined(separator: " "), ["execID": session.id])
        return attachment
    }

    private func execProcess(_ config: JSON) async throws -> JSON {
        let isTerminal = config["Tty"].bool ?? false
        let isPrivileged = config["Privileged"].bool ?? false
        var roots = ["/proc/\(record.state.pid)/root"]
        // What a VM has written is not read from here: its file system is not trusted, and its users are the image's.
        if record.isolation.hasOwnWarden {
            roots = await engine.images.layerPaths(of: try await engine.images.find(record.imageID))
        }
        let users = try lookUpUsers(roots: roots)
        let name = config["User"].string.flatMap { $0.isEmpty ? nil : $0 } ?? record.config["User"].string ?? ""
        let user = try users.find(name, groups: record.hostConfig["GroupAdd"].strings ?? [])
        var variables = record.config["Env"].strings ?? []
        if !variables.contains(where: { $0.hasPrefix("PATH=") }) {
            variables.append("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        }
        let hostname = record.config["Hostname"].string ?? ""
        variables.append("HOSTNAME=" + (hostname.isEmpty ? Identifier.short(id) : hostname))
        if isTerminal { variables.append("TERM=xterm") }
        for variable in config["Env"].strings ?? [] {
            let prefix = variable.prefix { $0 != "=" } + "="
            variables.removeAll { $0.hasPrefix(prefix) }
            variables.append(variable)
        }
        if !variables.contains(where: { $0.hasPrefix("HOME=") }) { variables.append("HOME=" + user.home) }
        let directory = [config["WorkingDir"].string, record.config["WorkingDir"].string].compactMap { $0 }
            .first { !$0.isEmpty }
        return [
            "terminal": JSON(isTerminal), "user": user.user, "args": config["Cmd"], "env": JSON(variables),
            "cwd": JSON(directory ?? "/"),
            "capabilities": ContainerCapabilities.spec(
                privileged: isPrivileged || record.hostConfig["Privileged"].bool == true,
                add: record.hostConfig["CapAdd"].strings ?? [], drop: record.hostConfig["CapDrop"].strings ?? []),
        ]
    }

    /// Takes in that an exec has ended.
    func execExited(_ exec: String, code: Int64) async {
        guard let session = execs[exec] else { return }
        session.exited(code)
        publish("exec_die", ["execID": exec, "exitCode": "\(code)"])
        // The warden may have gone; then it has nothing to forget.
        _ = try? await sandbox.request("forget", ["id": JSON(id), "exec": JSON(exec)])
    }

    public func resizeExec(_ session: ExecSession, rows: Int64, columns: Int64) async throws {
        try await sandbox.request(
            "resize", ["id": JSON(id), "exec": JSON(session.id), "rows": JSON(rows), "columns": JSON(columns)])
    }

    /// Runs a command to its end and answers its exit code and the first `limit` bytes of its output: health checks.
    ///
    /// - Throws: `.timedOut` soon after `timeout` seconds, also when it cannot even be started (the container is frozen, its
    ///   VM stands still).
    func probe(_ command: [String], timeout: Double, limit: Int = 4096) async throws -> (code: Int64, output: String) {
        let session = ExecSession(
            id: Identifier.make(), containerID: id,
            config: ["Cmd": JSON(command), "AttachStdout": true, "AttachStderr": true])
        let outcome = Promise<Result<(code: Int64, output: String), SkalaError>>()
        let timer = Task { [sandbox, id] in
            try await Task.sleep(nanoseconds: UInt64(timeout * 1e9))
            let end = Task {
                _ = try await sandbox.request(
                    "signal", ["id": JSON(id), "exec": JSON(session.id), "signal": JSON(9)])
            }
            try await Task.sleep(nanoseconds: Container.probeEnd)
            end.cancel()
            outcome.fulfil(.failure(Container.timedOut(timeout)))
        }
        defer { timer.cancel() }
        Task {
            do {
                outcome.fulfil(.success(try await run(session, timeout: timeout, limit: limit)))
            } catch {
                outcome.fulfil(.failure((error as? SkalaError) ?? SkalaError(.system, "\(error)", cause: error)))
            }
        }
        return try await outcome.value.get()
    }

    /// Nanoseconds that a check which took too long has to end by SIGKILL, until it counts as ended.
    private static let probeEnd: UInt64 = 500_000_000

    private static func timedOut(_ timeout: Double) -> SkalaError {
        SkalaError(.timedOut, "Health check exceeded timeout (\(Int(timeout))s)")
    }

    private func run(
        _ session: ExecSession, timeout: Double, limit: Int
    ) async throws -> (code: Int64, output: String) {
        execs[session.id] = session
        defer { execs[session.id] = nil }
        let started = SystemClock.monotonicNanoseconds()
        guard let attachment = try await startExec(session, attached: true, consoleSize: .null) else {
            return (0, "")
        }
        var output: [UInt8] = []
        while let chunk = await attachment.stream.next() {
            output.append(contentsOf: chunk.bytes.prefix(max(0, limit - output.count)))
        }
        let code = await session.exitCode.value
        if Double(SystemClock.monotonicNanoseconds() - started) >= timeout * 1e9 { throw Container.timedOut(timeout) }
        return (code, String(decoding: output, as: UTF8.self))
    }
}
