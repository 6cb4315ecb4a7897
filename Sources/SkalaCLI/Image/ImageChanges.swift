import Base
import Client
import Kernel

/// Commands on images that are here: rmi, tag, history.
enum ImageChanges {
    static let remove = Command(
        "rmi", "Remove images", "[OPTIONS] IMAGE [IMAGE...]", Command.atLeast(1), completes: .images,
        options: [
            .flag("force", short: "f", "Those that stopped containers use too"),
            .flag("no-prune", "Keep the images below that have no name"),
        ],
        examples: ["skala rmi web:old", "skala rmi $(skala images -q --filter dangling=true)"]
    ) { call in
        var query: [(name: String, value: String)] = []
        if call.arguments.flag("force") { query.append(("force", "1")) }
        if call.arguments.flag("no-prune") { query.append(("noprune", "1")) }
        return try Each.run(call.arguments.positional, call.output) { name in
            let entries = try call.client.json(.delete(API.image(name), query: query)).array ?? []
            return entries.map { entry in
                entry["Untagged"].string.map { "Untagged: \($0)" } ?? "Deleted: \(entry["Deleted"].plain)"
            }.joined(separator: "\n")
        }
    }

    static let tag = Command(
        "tag", "Give an image a further name", "IMAGE NAME[:TAG]", 2...2, completes: .images,
        examples: ["skala tag web registry.example.org/web:1.2"]
    ) { call in
        let names = call.arguments.positional
        let target = ImageName(names[1])
        try call.client.json(
            .post(
                API.image(names[0], "/tag"), query: [("repo", target.repository), ("tag", target.tag ?? "latest")]))
        return 0
    }

    static let history = Command(
        "history", "Show how an image came to be, or an instance's snapshots", "[OPTIONS] IMAGE|CONTAINER", 1...1,
        completes: .images, options: [.quiet, .noTruncation, .format],
        examples: ["skala history --no-trunc nginx", "skala history db"]
    ) { call in
        let layers: [JSON]
        do {
            layers = try call.client.json(.get(API.image(call.arguments.positional[0], "/history"))).array ?? []
        } catch let error as SkalaError where error.code == .notFound {
            return try ContainerSnapshots.list(call.arguments.positional[0], call)
        }
        let isFull = call.arguments.flag("no-trunc")
        let now = SystemClock.now()
        let rows = layers.map { layer -> JSON in
            let id = layer["Id"].string ?? "<missing>"
            let created = Timestamp(seconds: layer["Created"].int ?? 0)
            let by = layer["CreatedBy"].string ?? ""
            return [
                "ID": JSON(!isFull && id.hasPrefix("sha256:") ? String(id.dropFirst(7).prefix(12)) : id),
                "CreatedSince": JSON(HumanDuration.text(now.seconds - created.seconds) + " ago"),
                "CreatedAt": JSON(created.text),
                "CreatedBy": JSON(isFull || by.count <= 45 ? by : by.prefix(44) + "…"),
                "Size": JSON(ByteSize.decimal(layer["Size"].int ?? 0, digits: 3)),
                "Comment": JSON(layer["Comment"].string ?? ""),
            ]
        }
        if call.arguments.flag("quiet") {
            try call.output.write(rows.map { $0["ID"].plain + "\n" }.joined())
            return 0
        }
        try call.output.list(
            rows,
            [
                ("IMAGE", "ID"), ("CREATED", "CreatedSince"), ("CREATED BY", "CreatedBy"), ("SIZE", "Size"),
                ("COMMENT", "Comment"),
            ], format: call.arguments["format"])
        return 0
    }
}
