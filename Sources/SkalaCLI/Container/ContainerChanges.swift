import Base
import Client
import Kernel

/// Commands on one container that are one request each: rename, update, port, diff, commit, export.
enum ContainerChanges {
    static let rename = Command(
        "rename", "Give a container another name", "CONTAINER NAME", 2...2, completes: .containers,
        examples: ["skala rename web web-old"]
    ) { call in
        let names = call.arguments.positional
        try call.client.json(.post(API.container(names[0], "/rename"), query: [("name", names[1])]))
        return 0
    }

    static let update = Command(
        "update", "Change the limits of containers, running ones too", "[OPTIONS] CONTAINER [CONTAINER...]",
        Command.atLeast(1), completes: .containers, options: updateOptions,
        examples: ["skala update --memory 512m --cpus 1.5 web", "skala update --allocation best-effort batch"]
    ) { call in
        var body: JSON = [:]
        try ContainerBody.addLimits(call.arguments, to: &body)
        if let policy = call.arguments["restart"] { body["RestartPolicy"] = try ContainerBody.restartPolicy(policy) }
        if let allocation = call.arguments["allocation"] {
            body["Annotations"] = ["skala.allocation": JSON(allocation)]
        }
        guard body != [:] else { throw SkalaError(.invalid, "nothing to change: give at least one option") }
        return try Each.run(call.arguments.positional, call.output) { name in
            let answer = try call.client.json(.post(API.container(name, "/update"), body))
            for warning in answer["Warnings"].strings ?? [] { StandardStreams.error("skala: warning: \(warning)\n") }
            return name
        }
    }

    private static let updateOptions = ContainerOptions.shared.filter {
        [
            "memory", "memory-reservation", "memory-swap", "cpus", "cpu-shares", "cpu-period", "cpu-quota",
            "cpuset-cpus", "cpuset-mems", "pids-limit", "blkio-weight", "restart", "allocation",
        ].contains($0.long)
    }

    static let port = Command(
        "port", "Show the published ports of a container", "CONTAINER [PORT[/PROTOCOL]]", 1...2,
        completes: .runningContainers, examples: ["skala port web", "skala port web 80"]
    ) { call in
        let document = try call.client.json(.get(API.container(call.arguments.positional[0], "/json")))
        let ports = document["NetworkSettings"]["Ports"].object?.members ?? []
        let asked = call.arguments.positional.dropFirst().first.map { $0.contains("/") ? $0 : $0 + "/tcp" }
        var text = ""
        for (port, bindings) in ports where asked.map({ $0 == port }) ?? true {
            for binding in bindings.array ?? [] {
                let ip = binding["HostIp"].string ?? ""
                let address = (ip.contains(":") ? "[\(ip)]" : ip) + ":" + (binding["HostPort"].string ?? "")
                text += asked == nil ? "\(port) -> \(address)\n" : "\(address)\n"
            }
        }
        if let asked, text.isEmpty {
            throw SkalaError(.notFound, "no public port '\(asked)' published for \(call.arguments.positional[0])")
        }
        try call.output.write(text)
        return 0
    }

    static let diff = Command(
        "diff", "Show what a container has changed in its file system", "[OPTIONS] CONTAINER", 1...1,
        completes: .containers, options: [.format], examples: ["skala diff web"]
    ) { call in
        let changes = try call.client.json(.get(API.container(call.arguments.positional[0], "/changes"))).array ?? []
        guard let format = call.arguments["format"] else {
            let letters = ["C", "A", "D"]
            let lines = changes.map { change -> String in
                let kind = Int(change["Kind"].int ?? 0)
                return (letters.indices.contains(kind) ? letters[kind] : "?") + " " + (change["Path"].string ?? "")
            }
            try call.output.write(lines.map { $0 + "\n" }.joined())
            return 0
        }
        try call.output.list(changes, [("KIND", "Kind"), ("PATH", "Path")], format: format)
        return 0
    }

    static let commit = Command(
        "commit", "Make an image of a container's file system", "[OPTIONS] CONTAINER [REPOSITORY[:TAG]]", 1...2,
        completes: .containers,
        options: [
            .value("author", short: "a", "TEXT", "Author"), .value("message", short: "m", "TEXT", "Message"),
            .list("change", short: "c", "INSTRUCTION", "Dockerfile instruction to apply"),
            .flag("pause", short: "p", "Freeze the container meanwhile (default true)"),
        ],
        examples: ["skala commit -m 'with curl' web web:curl", "skala commit -c 'CMD [\"nginx\"]' web web:2"]
    ) { call in
        let arguments = call.arguments
        var query = [(name: "container", value: arguments.positional[0])]
        if arguments.positional.count == 2 {
            let name = ImageName(arguments.positional[1])
            query.append(("repo", name.repository))
            query.append(("tag", name.tag ?? "latest"))
        }
        if let author = arguments["author"] { query.append(("author", author)) }
        if let message = arguments["message"] { query.append(("comment", message)) }
        query += arguments.list("change").map { (name: "changes", value: $0) }
        if arguments.has("pause") { query.append(("pause", arguments.flag("pause") ? "1" : "0")) }
        let answer = try call.client.json(.post("/commit", query: query, [:]))
        try call.output.line(answer["Id"].plain)
        return 0
    }

    static let export = Command(
        "export", "Write a container's file system as a tar archive", "[OPTIONS] CONTAINER", 1...1,
        completes: .containers, options: [FileTransfer.outputOption], examples: ["skala export -o web.tar web"]
    ) { call in
        try FileTransfer.download(
            .get(API.container(call.arguments.positional[0], "/export")), to: call.arguments["output"], call)
        return 0
    }
}
