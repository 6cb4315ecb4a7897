import Base
import Client
import Kernel

/// `skala start`
enum ContainerStart {
    static let command = Command(
        "start", "Start containers that are not running", "[OPTIONS] CONTAINER [CONTAINER...]", Command.atLeast(1),
        completes: .containers,
        options: [
            .flag("attach", short: "a", "Follow the container's output to its end"),
            .flag("interactive", short: "i", "Follow it, and pass our input on"),
        ] + ContainerOptions.attaching,
        examples: ["skala start web", "skala start -ai shell"]
    ) { call in
        let arguments = call.arguments
        guard arguments.flag("attach") || arguments.flag("interactive") else {
            return try Each.run(arguments.positional, call.output) { name in
                try ContainerStarting.start(name, call.client)
                return name
            }
        }
        guard arguments.positional.count == 1 else {
            throw SkalaError(.invalid, "only one container can be followed at a time")
        }
        return try StartFailure.report { try follow(call, arguments.positional[0]) }
    }

    private static func follow(_ call: Invocation, _ name: String) throws -> Int32 {
        let document = try call.client.json(.get(API.container(name, "/json")))
        let config = document["Config"]
        let session = ContainerSession(
            client: call.client, id: document["Id"].string ?? name, hasTerminal: config["Tty"].bool ?? false,
            readsInput: call.arguments.flag("interactive") && config["OpenStdin"].bool ?? false,
            detachKeys: try call.arguments.detachKeys(), passesSignals: call.arguments.passesSignals)
        let isRemoved = document["HostConfig"]["AutoRemove"].bool ?? false
        return try session.follow(until: isRemoved ? "removed" : "next-exit") {
            try ContainerStarting.start(name, call.client)
        } ?? 0
    }
}
