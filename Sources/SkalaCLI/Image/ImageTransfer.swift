import Base
import Client
import Kernel

/// Images in and out: push, save, import, and `load` without a URL.
enum ImageTransfer {
    static let push = Command(
        "push", "Send an image to a registry", "[OPTIONS] IMAGE", 1...1, completes: .images,
        options: [
            .flag("quiet", short: "q", "Do not show progress"),
            .flag("all-tags", short: "a", "All tags of the repository"),
        ],
        examples: ["skala push registry.example.org/web:1.2"]
    ) { call in
        let name = ImageName(call.arguments.positional[0])
        var request = HTTPRequest.post(API.image(name.repository, "/push"))
        if !call.arguments.flag("all-tags") { request.query.append(("tag", name.tag ?? "latest")) }
        // The API wants the header, even when there is nothing in it.
        let header = try CredentialStore.standard().header(for: name.registry) ?? Base64.encode(Array("{}".utf8))
        request.headers.append(("X-Registry-Auth", header))
        let display = call.arguments.flag("quiet") ? nil : ProgressDisplay(descriptor: 1)
        try ProgressDisplay.show(try call.client.send(request), on: display)
        return 0
    }

    static let save = Command(
        "save", "Write images as an archive", "[OPTIONS] IMAGE [IMAGE...]", Command.atLeast(1), completes: .images,
        options: [FileTransfer.outputOption], examples: ["skala save -o all.tar nginx redis"]
    ) { call in
        let query = call.arguments.positional.map { (name: "names", value: $0) }
        try FileTransfer.download(.get("/images/get", query: query), to: call.arguments["output"], call)
        return 0
    }

    /// Of `skala load`, which without a URL takes in an archive as docker's does.
    static let inputOption = Option.value(
        "input", short: "i", "FILE", "Without a URL: the archive, instead of standard input", .files)

    static func load(_ call: Invocation) throws -> Int32 {
        let input = call.arguments["input"]
        if input == nil, Terminal.isTerminal(0) {
            throw SkalaError(
                .invalid, "nothing to load: name a URL, redirect an archive to standard input, or use -i FILE")
        }
        let request = HTTPRequest(
            "POST", "/images/load", query: [("quiet", call.arguments.flag("quiet") ? "1" : "0")],
            body: try FileTransfer.upload(input))
        try ProgressDisplay.show(try call.client.send(request), on: ProgressDisplay(descriptor: 1))
        return 0
    }

    static let `import` = Command(
        "import", "Make an image of a file system archive", "[OPTIONS] FILE|- [REPOSITORY[:TAG]]", 1...2,
        completes: .files,
        options: [
            .list("change", short: "c", "INSTRUCTION", "Dockerfile instruction to apply"),
            .value("message", short: "m", "TEXT", "Message"),
            .value("platform", "OS/ARCH", "Platform of the image"),
        ],
        examples: ["skala import -c 'CMD [\"sh\"]' root.tar busybox"]
    ) { call in
        let arguments = call.arguments
        var query = [(name: "fromSrc", value: "-")]
        if arguments.positional.count == 2 {
            let name = ImageName(arguments.positional[1])
            query.append(("repo", name.repository))
            query.append(("tag", name.tag ?? "latest"))
        }
        if let message = arguments["message"] { query.append(("message", message)) }
        if let platform = arguments["platform"] { query.append(("platform", platform)) }
        query += arguments.list("change").map { (name: "changes", value: $0) }
        let body = try FileTransfer.upload(arguments.positional[0])
        let request = HTTPRequest("POST", "/images/create", query: query, body: body)
        try ProgressDisplay.show(try call.client.send(request), on: ProgressDisplay(descriptor: 1))
        return 0
    }
}
