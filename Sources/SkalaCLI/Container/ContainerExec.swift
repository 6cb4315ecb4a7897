import Base
import Client
import Glibc
import Kernel

/// `skala exec`
enum ContainerExec {
    static let command = Command(
        "exec", "Run a further program in a running container", "[OPTIONS] CONTAINER COMMAND [ARG...]",
        Command.atLeast(2), completes: .runningContainers, stopsAtArgument: true,
        options: [
            .flag("detach", short: "d", "Do not wait for the program"),
            .flag("interactive", short: "i", "Pass our input on"),
            .flag("tty", short: "t", "Give the program a terminal"), .flag("privileged", "All capabilities"),
            .value("user", short: "u", "USER[:GROUP]", "Names or ids the program runs as"),
            .value("workdir", short: "w", "DIR", "Working directory in the container"),
            .list("env", short: "e", "KEY=VALUE", "Environment variable"),
            .list("env-file", "FILE", "File of environment variables", .files),
            .value("detach-keys", "KEYS", "Keys that leave the program to itself (default ctrl-p,ctrl-q)"),
        ],
        examples: ["skala exec -it web sh", "skala exec -u postgres -w /tmp db psql -c 'select 1'"]
    ) { call in try StartFailure.report { try run(call) } }

    private static func run(_ call: Invocation) throws -> Int32 {
        let arguments = call.arguments
        let isDetached = arguments.flag("detach")
        let hasTerminal = arguments.flag("tty")
        let keys = try arguments.detachKeys()
        try TerminalCheck.run(arguments, isAttached: !isDetached)
        let readsInput = arguments.flag("interactive") && !isDetached
        let files = try arguments.list("env-file").flatMap { file in
            try KeyValue.lines(String(decoding: try FileContents.read(file), as: UTF8.self), file: file)
        }
        var body: JSON = [
            "AttachStdin": JSON(readsInput), "AttachStdout": JSON(!isDetached), "AttachStderr": JSON(!isDetached),
            "Tty": JSON(hasTerminal), "Cmd": JSON(Array(arguments.positional.dropFirst())),
            "Privileged": JSON(arguments.flag("privileged")),
            "Env": JSON(KeyValue.environment(files + arguments.list("env"), Environment.value)),
        ]
        if let user = arguments["user"] { body["User"] = JSON(user) }
        if let directory = arguments["workdir"] { body["WorkingDir"] = JSON(directory) }
        let created = try call.client.json(.post(API.container(arguments.positional[0], "/exec"), body))
        guard let id = created["Id"].string else { throw SkalaError(.invalid, "the engine named no exec") }
        let start = HTTPRequest.post("/exec/\(id)/start", startBody(isDetached: isDetached, hasTerminal: hasTerminal))
        if isDetached {
            try call.client.json(start)
            return 0
        }
        return try follow(call.client, id, start, hasTerminal: hasTerminal, readsInput: readsInput, keys)
    }

    private static func startBody(isDetached: Bool, hasTerminal: Bool) -> JSON {
        var body: JSON = ["Detach": JSON(isDetached), "Tty": JSON(hasTerminal)]
        if hasTerminal, let size = Terminal(descriptor: 1).size {
            body["ConsoleSize"] = [JSON(size.rows), JSON(size.columns)]
        }
        return body
    }

    private static func follow(
        _ client: EngineClient, _ id: String, _ start: HTTPRequest, hasTerminal: Bool, readsInput: Bool,
        _ keys: DetachKeys
    ) throws -> Int32 {
        let stream = try client.finishUpgrade(try client.begin(start, upgrades: true))
        let signals = hasTerminal ? try SignalQueue([SIGWINCH, SIGTERM, SIGHUP]) : nil
        let saved = hasTerminal && readsInput ? Terminal(descriptor: 0).makeRaw() : nil
        defer { saved?.restore() }
        let relay = StreamRelay(
            stream: stream, isRaw: hasTerminal, input: readsInput ? 0 : nil,
            detachKeys: hasTerminal && readsInput ? keys : nil, signals: signals
        ) { signal in
            guard signal == SIGWINCH else { throw CommandFailure(128 + signal, "") }
            guard let size = Terminal(descriptor: 1).size else { return }
            // A size that cannot be set now is set at the next change.
            _ = try? client.json(
                .post("/exec/\(id)/resize", query: [("h", "\(size.rows)"), ("w", "\(size.columns)")]))
        }
        if try relay.run() == .detached { return 0 }
        let document = try client.json(.get("/exec/\(id)/json"))
        return Int32(truncatingIfNeeded: document["ExitCode"].int ?? 0)
    }
}
