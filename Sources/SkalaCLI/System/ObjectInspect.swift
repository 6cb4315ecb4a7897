import Base
import Client

/// `skala inspect`: containers, images, networks and volumes by name.
enum ObjectInspect {
    static let command = Command(
        "inspect", "Show all that is known of objects", "[OPTIONS] NAME [NAME...]", Command.atLeast(1),
        completes: .containers,
        options: [
            .format, .flag("size", short: "s", "Containers' sizes too"),
            .value(
                "type", "TYPE", "Only objects of that type", .words(["container", "image", "network", "volume"])),
        ],
        examples: [
            "skala inspect web", "skala inspect --format '{{.State.Pid}} {{json .NetworkSettings.Networks}}' web",
        ]
    ) { call in
        let arguments = call.arguments
        let size = arguments.flag("size") ? [(name: "size", value: "1")] : []
        let kinds: [(type: String, path: (String) -> String)] = [
            ("container", { API.container($0, "/json") }), ("image", { API.image($0, "/json") }),
            ("network", { "/networks/\(PercentEncoding.encode($0))" }),
            ("volume", { "/volumes/\(PercentEncoding.encode($0))" }),
        ].filter { kind in arguments["type"].map { $0 == kind.type } ?? true }
        guard !kinds.isEmpty else {
            throw arguments.invalid("type", arguments["type"] ?? "", "expected container, image, network or volume")
        }
        return try inspect(call) { name in
            for kind in kinds {
                do {
                    return try call.client.json(.get(kind.path(name), query: kind.type == "container" ? size : []))
                } catch let error as SkalaError where error.code == .notFound { continue }
            }
            throw SkalaError(.notFound, "no such object: \(name)")
        }
    }

    /// Shows the documents that `find` has for the names; what is not found is named on standard error.
    static func inspect(_ call: Invocation, _ find: (String) throws -> JSON) throws -> Int32 {
        var documents: [JSON] = []
        let status = try Each.run(call.arguments.positional, call.output) { name in
            documents.append(try find(name))
            return nil
        }
        if !documents.isEmpty || !call.arguments.has("format") {
            try call.output.documents(documents, format: call.arguments["format"])
        }
        return status
    }
}
