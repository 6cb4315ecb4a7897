import Base
import Client

/// The commands that change the state of several containers: stop, restart, kill, pause, unpause, rm, wait.
enum ContainerStates {
    static let stop = Command(
        "stop", "End running containers: a signal, and after a time the kill", "[OPTIONS] CONTAINER [CONTAINER...]",
        Command.atLeast(1), completes: .runningContainers, options: stopping,
        examples: ["skala stop web", "skala stop -t 30 db"]
    ) { call in try change(call, "/stop", try stopQuery(call.arguments)) }

    static let restart = Command(
        "restart", "Stop containers and start them again", "[OPTIONS] CONTAINER [CONTAINER...]", Command.atLeast(1),
        completes: .containers, options: stopping, examples: ["skala restart -t 5 web"]
    ) { call in try change(call, "/restart", try stopQuery(call.arguments)) }

    static let kill = Command(
        "kill", "Send running containers a signal", "[OPTIONS] CONTAINER [CONTAINER...]", Command.atLeast(1),
        completes: .runningContainers,
        options: [.value("signal", short: "s", "SIGNAL", "Name or number (default KILL)")],
        examples: ["skala kill web", "skala kill -s HUP nginx"]
    ) { call in try change(call, "/kill", [("signal", call.arguments["signal"] ?? "KILL")]) }

    static let pause = Command(
        "pause", "Freeze containers", "CONTAINER [CONTAINER...]", Command.atLeast(1), completes: .runningContainers,
        examples: ["skala pause web"]
    ) { call in try change(call, "/pause", []) }

    static let unpause = Command(
        "unpause", "Let frozen containers go on", "CONTAINER [CONTAINER...]", Command.atLeast(1),
        completes: .runningContainers, examples: ["skala unpause web"]
    ) { call in try change(call, "/unpause", []) }

    static let remove = Command(
        "rm", "Remove containers", "[OPTIONS] CONTAINER [CONTAINER...]", Command.atLeast(1), completes: .containers,
        options: [
            .flag("force", short: "f", "Those that run too: they are killed"),
            .flag("volumes", short: "v", "Their anonymous volumes too"),
        ],
        examples: ["skala rm web", "skala rm -fv $(skala ps -aq)"]
    ) { call in
        let query = ["force", "volumes"].filter { call.arguments.flag($0) }.map {
            (name: $0 == "volumes" ? "v" : $0, value: "1")
        }
        return try Each.run(call.arguments.positional, call.output) { name in
            do {
                try call.client.json(.delete(API.container(name), query: query))
            } catch let error as SkalaError where error.code == .notFound && call.arguments.flag("force") {
                return nil  // With --force, what is gone already is as wanted.
            }
            return name
        }
    }

    static let wait = Command(
        "wait", "Wait until containers end, and show their exit status", "CONTAINER [CONTAINER...]",
        Command.atLeast(1), completes: .runningContainers, examples: ["skala wait job"]
    ) { call in
        try Each.run(call.arguments.positional, call.output) { name in
            try call.client.json(.post(API.container(name, "/wait")))["StatusCode"].text
        }
    }

    private static let stopping: [Option] = [
        .value("time", short: "t", "SECONDS", "How long it may take before it is killed (default 10)"),
        .value("signal", short: "s", "SIGNAL", "Instead of the container's own stop signal"),
    ]

    private static func stopQuery(_ arguments: Arguments) throws -> [(name: String, value: String)] {
        var query: [(name: String, value: String)] = []
        if let seconds = try arguments.int("time") { query.append(("t", "\(seconds)")) }
        if let signal = arguments["signal"] { query.append(("signal", signal)) }
        return query
    }

    private static func change(
        _ call: Invocation, _ verb: String, _ query: [(name: String, value: String)]
    ) throws -> Int32 {
        try Each.run(call.arguments.positional, call.output) { name in
            try call.client.json(.post(API.container(name, verb), query: query))
            return name
        }
    }
}
