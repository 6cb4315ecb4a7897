import Base
import Client
import Glibc
import Kernel

/// `skala build`
enum ImageBuild {
    static let command = Command(
        "build", "Make an image from a Dockerfile", "[OPTIONS] DIR|-", 1...1, completes: .directories,
        options: [
            .list("tag", short: "t", "NAME[:TAG]", "The image's name"),
            .value("file", short: "f", "FILE", "The Dockerfile (default DIR/Dockerfile)", .files),
            .list("build-arg", "KEY=VALUE", "Value of an ARG"), .list("label", "KEY=VALUE", "Label"),
            .value("target", "STAGE", "Stage to build"), .value("platform", "OS/ARCH", "Platform of the image"),
            .value("network", "MODE", "Network of RUN instructions"), .flag("no-cache", "Run everything again"),
            .flag("pull", "Look for newer base images"), .flag("quiet", short: "q", "Show only the image's id"),
        ],
        examples: ["skala build -t web .", "skala build -f deploy/Dockerfile --build-arg VERSION=2 -t web:2 ."]
    ) { call in
        let arguments = call.arguments
        let context = arguments.positional[0]
        var query = arguments.list("tag").map { (name: "t", value: $0) }
        for (option, name) in [("target", "target"), ("platform", "platform"), ("network", "networkmode")] {
            if let value = arguments[option] { query.append((name, value)) }
        }
        for (option, name) in [("no-cache", "nocache"), ("pull", "pull"), ("quiet", "q")] where arguments.flag(option) {
            query.append((name, "1"))
        }
        query += [("rm", "1"), ("forcerm", "1"), ("version", "1")]
        if arguments.has("build-arg") {
            let values = KeyValue.environment(arguments.list("build-arg"), Environment.value)
            query.append(("buildargs", KeyValue.object(values).text))
        }
        if arguments.has("label") { query.append(("labels", KeyValue.object(arguments.list("label")).text)) }
        if let file = arguments["file"] {
            query.append(("dockerfile", try BuildContext.dockerfile(file, context: context)))
        }
        let isQuiet = arguments.flag("quiet")
        let id = try send(context, query, call.client, isQuiet ? nil : ProgressDisplay(descriptor: 1))
        if isQuiet, let id { try call.output.line(id) }
        return 0
    }

    /// Builds the image of a Compose file's service.
    static func build(
        context: String, dockerfile: String?, arguments: [(key: String, value: String?)], target: String?, tag: String,
        _ client: EngineClient
    ) throws {
        var query = [(name: "t", value: tag), ("rm", "1"), ("forcerm", "1"), ("version", "1")]
        if let target { query.append(("target", target)) }
        if let dockerfile {
            query.append(("dockerfile", try BuildContext.dockerfile(dockerfile, context: context)))
        }
        if !arguments.isEmpty {
            let texts = arguments.map { argument in argument.value.map { "\(argument.key)=\($0)" } ?? argument.key }
            query.append(("buildargs", KeyValue.object(KeyValue.environment(texts, Environment.value)).text))
        }
        _ = try send(context, query, client, ProgressDisplay(descriptor: 2))
    }

    /// - Returns: the image's id, when the engine names it.
    private static func send(
        _ context: String, _ query: [(name: String, value: String)], _ client: EngineClient, _ display: ProgressDisplay?
    ) throws -> String? {
        let tar = context == "-" ? nil : try Tar.packing(try BuildContext.tarArguments(context))
        let descriptor = tar?.pipe.raw ?? 0
        var request = HTTPRequest(
            "POST", "/build", query: query,
            body: .stream(contentType: "application/x-tar") { try Pipe.read(descriptor, upTo: 128 * 1024) })
        request.headers.append(("X-Registry-Config", try CredentialStore.standard().allCredentials()))
        let response: HTTPResponse
        do { response = try client.send(request) } catch {
            // tar ends on its broken pipe; the engine's answer is the one to show.
            try? tar?.finish()
            throw error
        }
        try tar?.finish()
        var id: String?
        try ProgressDisplay.show(response, on: display) { id = $0["ID"].string ?? id }
        return id
    }
}

extension CredentialStore {
    /// The value of `X-Registry-Config`: all credentials the file itself holds.
    func allCredentials() throws -> String {
        var all: JSON = [:]
        for key in document["auths"].object?.keys ?? [] {
            if let credentials = try credentials(for: key) { all[key] = credentials }
        }
        return Base64.encode(all.bytes).map { $0 == "+" ? "-" : $0 == "/" ? "_" : "\($0)" }.joined()
    }
}
