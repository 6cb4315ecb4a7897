import Base
import Client
import Glibc
import Kernel

/// `skala run`
enum ContainerRun {
    static let command = Command(
        "run", "Make a container, start it, and follow it to its end", "[OPTIONS] IMAGE [COMMAND] [ARG...]",
        Command.atLeast(1), completes: .images, stopsAtArgument: true,
        options: [.flag("detach", short: "d", "Leave the container running, and show its id")] + ContainerOptions.shared
            + ContainerOptions.attaching,
        examples: [
            "skala run --rm -it busybox sh", "skala run -d --name web -p 8080:80 --memory 256m nginx",
            "skala run --rm --isolation microvm -v ./data:/data:ro alpine ls /data",
        ]
    ) { call in try StartFailure.report { try run(call) } }

    private static func run(_ call: Invocation) throws -> Int32 {
        let arguments = call.arguments
        let isAttached = !arguments.flag("detach")
        let keys = try arguments.detachKeys()
        try TerminalCheck.run(arguments, isAttached: isAttached)
        let id = try ContainerCreate.create(call, attached: isAttached)
        guard isAttached else {
            try ContainerStarting.start(id, call.client)
            try call.output.line(id)
            return 0
        }
        let streams = arguments.list("attach").map { $0.lowercased() }
        let session = ContainerSession(
            client: call.client, id: id, hasTerminal: arguments.flag("tty"),
            readsInput: arguments.flag("interactive") && (streams.isEmpty || streams.contains("stdin")),
            showsOutput: streams.isEmpty || streams.contains("stdout"),
            showsErrors: streams.isEmpty || streams.contains("stderr"), detachKeys: keys,
            passesSignals: arguments.passesSignals)
        let status = try session.follow(until: arguments.flag("rm") ? "removed" : "next-exit") {
            try ContainerStarting.start(id, call.client)
        }
        guard let status else {
            StandardStreams.error("left \(id.prefix(12)) running\n")
            return 0
        }
        return status
    }
}
