import Base
import Client
import Glibc
import Kernel

/// `skala create`, and what `run` shares with it.
enum ContainerCreate {
    static let command = Command(
        "create", "Make a container without starting it", "[OPTIONS] IMAGE [COMMAND] [ARG...]", Command.atLeast(1),
        completes: .images, stopsAtArgument: true, options: ContainerOptions.shared,
        examples: ["skala create --name web -p 8080:80 nginx"]
    ) { call in
        let id = try StartFailure.report { try create(call, attached: true) }
        try call.output.line(id)
        return 0
    }

    /// Creates the container, after pulling its image when that is asked for or missing.
    ///
    /// - Returns: the container's id.
    static func create(_ call: Invocation, attached: Bool) throws -> String {
        let arguments = call.arguments
        let image = arguments.positional[0]
        let body = ContainerBody(
            arguments: arguments, directory: try API.workingDirectory(), environment: Environment.value,
            readFile: { String(decoding: try FileContents.read($0), as: UTF8.self) })
        var document = try body.make(
            image: image, command: Array(arguments.positional.dropFirst()), attached: attached)
        if arguments.flag("tty"), let size = Terminal(descriptor: 1).size {
            document["HostConfig"]["ConsoleSize"] = [JSON(size.rows), JSON(size.columns)]
        }
        var query: [(name: String, value: String)] = []
        if let name = arguments["name"] { query.append(("name", name)) }
        if let platform = arguments["platform"] { query.append(("platform", platform)) }
        let pull = arguments["pull"] ?? "missing"
        guard ["always", "missing", "never"].contains(pull) else {
            throw arguments.invalid("pull", pull, "expected always, missing or never")
        }
        func pullImage() throws {
            try ImagePull.pull(
                image, platform: arguments["platform"], client: call.client,
                display: arguments.flag("quiet") ? nil : ProgressDisplay(descriptor: 2))
        }
        if pull == "always" { try pullImage() }
        let request = HTTPRequest.post("/containers/create", query: query, document)
        let created =
            pull == "missing"
            ? try ImagePull.pullingWhenMissing(image, pull: pullImage) { try call.client.json(request) }
            : try call.client.json(request)
        for warning in created["Warnings"].strings ?? [] { StandardStreams.error("skala: warning: \(warning)\n") }
        guard let id = created["Id"].string else { throw SkalaError(.invalid, "the engine named no container") }
        if let file = arguments["cidfile"] {
            try FileContents.replace(file, with: Array(id.utf8))
        }
        return id
    }
}
