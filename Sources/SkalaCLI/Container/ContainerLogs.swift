import Base
import Client
import Kernel

/// `skala logs`
enum ContainerLogs {
    static let command = Command(
        "logs", "Show what a container, or the services of a project, have written",
        "[OPTIONS] CONTAINER | --project NAME [SERVICE...]", Command.atLeast(0), completes: .containers,
        options: [
            .flag("follow", short: "f", "Go on with what it writes from now on"),
            .flag("timestamps", short: "t", "Show when each line was written"),
            .value("tail", short: "n", "LINES", "Only the last lines (default all)"),
            .value("since", "TIME", "Only from then on: 10m (ago), or 2026-01-02T15:04:05"),
            .value("until", "TIME", "Only up to then"),
        ] + ComposeTasks.location,
        examples: ["skala logs -f web", "skala logs -f --project shop web", "skala logs --since 10m --tail 100 -t db"]
    ) { call in
        let arguments = call.arguments
        let now = SystemClock.now()
        var query = [("stdout", "1"), ("stderr", "1"), ("tail", arguments["tail"] ?? "all")]
        if arguments.flag("follow") { query.append(("follow", "1")) }
        if arguments.flag("timestamps") { query.append(("timestamps", "1")) }
        for name in ["since", "until"] {
            if let text = arguments[name] { query.append((name, try TimeText.unix(text, now: now))) }
        }
        let named = query.map { (name: $0.0, value: $0.1) }
        if ComposeTasks.isAsked(arguments) { return try ComposeTasks.logs(call, query: named) }
        guard arguments.positional.count == 1 else {
            throw CommandFailure(2, "skala logs needs a CONTAINER, or --project NAME")
        }
        let response = try call.client.send(.get(API.container(arguments.positional[0], "/logs"), query: named))
        return try show(response, call.output)
    }

    /// Writes a log as it comes.
    static func show(_ response: HTTPResponse, _ output: Output) throws -> Int32 {
        let isRaw = response.head.header("Content-Type") == "application/vnd.docker.raw-stream"
        var demultiplexer = StreamDemultiplexer()
        while true {
            let bytes = try response.next()
            if bytes.isEmpty { return 0 }
            if isRaw {
                try output.write(bytes)
                continue
            }
            for piece in demultiplexer.take(bytes) {
                if piece.channel == .error {
                    StandardStreams.write(2, Array(piece.bytes))
                } else {
                    try output.write(Array(piece.bytes))
                }
            }
        }
    }
}
