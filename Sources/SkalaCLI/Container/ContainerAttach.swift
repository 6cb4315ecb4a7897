import Base
import Client
import Kernel

/// `skala attach`
enum ContainerAttach {
    static let command = Command(
        "attach", "Follow a running container from here", "[OPTIONS] CONTAINER", 1...1, completes: .runningContainers,
        options: [.flag("no-stdin", "Do not pass our input on")] + ContainerOptions.attaching,
        examples: ["skala attach shell", "skala attach --no-stdin --sig-proxy=false web"]
    ) { call in
        let name = call.arguments.positional[0]
        let document = try call.client.json(.get(API.container(name, "/json")))
        guard document["State"]["Running"].bool == true else {
            throw SkalaError(.conflict, "container '\(name)' is not running; 'skala start -ai \(name)' starts it")
        }
        let hasTerminal = document["Config"]["Tty"].bool ?? false
        let session = ContainerSession(
            client: call.client, id: document["Id"].string ?? name, hasTerminal: hasTerminal,
            readsInput: !call.arguments.flag("no-stdin") && document["Config"]["OpenStdin"].bool ?? false,
            detachKeys: try call.arguments.detachKeys(), passesSignals: call.arguments.passesSignals)
        let status = try session.follow(until: "not-running") {
            // Two changes of size make a program such as an editor draw its screen anew.
            if hasTerminal {
                session.resize(extraRows: 1)
                session.resize()
            }
        }
        if status == nil { StandardStreams.error("left \(name) running\n") }
        return status ?? 0
    }
}
