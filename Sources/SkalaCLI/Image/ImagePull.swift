import Base
import Client
import Kernel

/// `skala pull`
enum ImagePull {
    static let command = Command(
        "pull", "Fetch images from a registry", "[OPTIONS] IMAGE [IMAGE...]", Command.atLeast(1), completes: .images,
        options: [
            .flag("quiet", short: "q", "Show only the image's name"),
            .value("platform", "OS/ARCH", "Platform of the image"),
            .flag("all-tags", short: "a", "All tags of the repository"),
        ],
        examples: ["skala pull nginx", "skala pull --platform linux/arm64 registry.example.org/web:1.2"]
    ) { call in
        let isQuiet = call.arguments.flag("quiet")
        return try Each.run(call.arguments.positional, call.output) { image in
            try pull(
                image, platform: call.arguments["platform"], allTags: call.arguments.flag("all-tags"),
                client: call.client, display: isQuiet ? nil : ProgressDisplay(descriptor: 1))
            return isQuiet ? image : nil
        }
    }

    /// - Parameter display: where the progress is shown, if anywhere.
    static func pull(
        _ image: String, platform: String?, allTags: Bool = false, client: EngineClient, display: ProgressDisplay?
    ) throws {
        let name = ImageName(image)
        var query = [(name: "fromImage", value: name.repository)]
        if !allTags { query.append(("tag", name.tag ?? "latest")) }
        if let platform { query.append(("platform", platform)) }
        var request = HTTPRequest.post("/images/create", query: query)
        if let header = try CredentialStore.standard().header(for: name.registry) {
            request.headers.append(("X-Registry-Auth", header))
        }
        try ProgressDisplay.show(try client.send(request), on: display)
    }

    /// What is said and done when a request needs an image that is not here: it is pulled, and the request sent again.
    static func pullingWhenMissing(
        _ image: String, pull: () throws -> Void, send: () throws -> JSON
    ) throws -> JSON {
        do { return try send() } catch let error as SkalaError {
            guard error.code == .notFound, error.message.contains("No such image") else { throw error }
            StandardStreams.error("image '\(image)' is not here yet; pulling it\n")
            try pull()
            return try send()
        }
    }
}
