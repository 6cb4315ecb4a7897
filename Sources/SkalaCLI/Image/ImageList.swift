import Base
import Client
import Kernel

/// `skala images`
enum ImageList {
    static let command = Command(
        "images", "List images", "[OPTIONS] [REPOSITORY[:TAG]]", 0...1, completes: .images,
        options: [
            .flag("all", short: "a", "Show those without a name too"), .quiet, .noTruncation, .filter, .format,
            .flag("digests", "Show digests"),
        ],
        examples: ["skala images", "skala images --filter dangling=true -q"]
    ) { call in
        let arguments = call.arguments
        var filters = arguments.list("filter")
        if let pattern = arguments.positional.first { filters.append("reference=\(pattern)") }
        var query = try API.filters(filters)
        if arguments.flag("all") { query.append(("all", "1")) }
        let images = try call.client.json(.get("/images/json", query: query)).array ?? []
        let now = SystemClock.now()
        let rows = images.flatMap { ImageList.rows(of: $0, now: now, isFull: arguments.flag("no-trunc")) }
        if arguments.flag("quiet"), !arguments.has("format") {
            try call.output.write(rows.map { $0["ID"].plain + "\n" }.joined())
            return 0
        }
        let columns = [("REPOSITORY", "Repository"), ("TAG", "Tag")]
        let digests = arguments.flag("digests") ? [("DIGEST", "Digest")] : []
        let rest = [("IMAGE ID", "ID"), ("CREATED", "CreatedSince"), ("SIZE", "Size")]
        try call.output.list(rows, columns + digests + rest, format: arguments["format"])
        return 0
    }

    /// A row for each name of the image.
    static func rows(of image: JSON, now: Timestamp, isFull: Bool) -> [JSON] {
        let id = image["Id"].string ?? ""
        let digests = image["RepoDigests"].strings ?? []
        let created = Timestamp(seconds: image["Created"].int ?? 0)
        var names = (image["RepoTags"].strings ?? []).filter { $0 != "<none>:<none>" }
        if names.isEmpty { names = [(digests.first.map { ImageName($0).repository } ?? "<none>") + ":<none>"] }
        return names.map { text in
            let name = ImageName(text)
            let digest = digests.first { ImageName($0).repository == name.repository }.flatMap { ImageName($0).tag }
            return [
                "ID": JSON(isFull ? id : String(id.drop { $0 != ":" }.dropFirst().prefix(12))),
                "Repository": JSON(name.repository), "Tag": JSON(name.tag ?? "<none>"),
                "Digest": JSON(digest ?? "<none>"),
                "CreatedSince": JSON(HumanDuration.text(now.seconds - created.seconds) + " ago"),
                "CreatedAt": JSON(created.text), "Size": JSON(ByteSize.decimal(image["Size"].int ?? 0, digits: 3)),
            ]
        }
    }
}
