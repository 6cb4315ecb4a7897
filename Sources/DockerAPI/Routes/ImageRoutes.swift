import Base
import Engine
import Images
import Kernel
import OCI

/// Images, and what registries have of them.
struct ImageRoutes {
    let engine: Engine

    func register(_ router: inout Router) {
        router.get("/images/json") { request in
            let allowed: Set = ["before", "dangling", "label", "reference", "since", "until"]
            let filters = try Filters(request, allowed: allowed)
            return .json(JSON(try await summaries(filters, all: request.query.flag("all"))))
        }
        router.post("/images/create") { try await pullOrImport($0) }
        router.post("/images/load") { try await load($0) }
        router.get("/images/get") {
            try await save($0.query.all("names").flatMap { $0.split(separator: ",").map(String.init) })
        }
        router.post("/images/prune") { try await prune($0) }
        router.refuse(
            "GET", "/images/search", SkalaError(.unsupported, "searching Docker Hub is not supported"))
        router.get("/images/{name:*}/json") { request in
            .json(document(try await engine.images.find(request.parameter("name"))))
        }
        router.get("/images/{name:*}/history") { request in
            .json(try await engine.images.history(request.parameter("name")))
        }
        router.get("/images/{name:*}/get") { try await save([$0.parameter("name")]) }
        router.post("/images/{name:*}/tag") { try await tag($0) }
        router.post("/images/{name:*}/push") { try await push($0) }
        router.delete("/images/{name:*}") { request in
            let deleted = try await engine.images.remove(
                request.parameter("name"), force: request.query.flag("force"), prune: !request.query.flag("noprune"))
            for entry in deleted {
                if let name = entry["Untagged"].string { publish("untag", name) }
                if let id = entry["Deleted"].string { publish("delete", id) }
            }
            return .json(JSON(deleted))
        }
        router.get("/distribution/{name:*}/json") { request in
            let reference = try Reference(parsing: request.parameter("name"))
            return .json(
                try await engine.images.distribution(reference, credentials: credentials(request)))
        }
        router.post("/commit") { try await commit($0) }
    }

    private func publish(_ action: String, _ name: String) {
        engine.events.publish("image", action, name, ["name": name])
    }

    private func credentials(_ request: Request) -> RegistryCredentials? {
        request.header("X-Registry-Auth").flatMap(RegistryCredentials.init(header:))
    }

    // MARK: documents

    /// The elements of `GET /images/json`, newest first.
    func summaries(_ filters: Filters, all: Bool) async throws -> [JSON] {
        let isDangling = try filters.flag("dangling")
        let limit = try PruneFilter(filters)
        let images = await engine.images.list()
        func created(_ name: String) async throws -> String { try await engine.images.find(name).created }
        var before: [String] = []
        var since: [String] = []
        for name in filters.all("before") { before.append(try await created(name)) }
        for name in filters.all("since") { since.append(try await created(name)) }
        let chosen = images.filter { image in
            let time = (try? Timestamp(parsing: image.created)) ?? Timestamp(nanoseconds: 0)
            return (isDangling.map { $0 == image.tags.isEmpty } ?? true)
                && limit.includes(time, image.configuration.labels)
                && before.allSatisfy { image.created < $0 } && since.allSatisfy { image.created > $0 }
                && filters.any("reference") { pattern in
                    (image.tags + image.repoDigests).contains { matches($0, pattern) }
                }
        }
        return chosen.sorted { ($0.created, $0.id) > ($1.created, $1.id) }.map { image in
            // As Docker: other names of an image that was found by name are not shown.
            func isShown(_ name: String) -> Bool { filters.any("reference") { matches(name, $0) } }
            return summary(
                image, tags: image.tags.filter(isShown), repoDigests: image.repoDigests.filter(isShown))
        }
    }

    /// `nginx`, `nginx:1.*`, `*/web`: shell patterns on the name with and without its tag or digest.
    private func matches(_ name: String, _ pattern: String) -> Bool {
        let end = name.firstIndex(of: "@") ?? name.lastIndex(of: ":") ?? name.endIndex
        return ShellPattern.matches(pattern, name) || ShellPattern.matches(pattern, String(name[..<end]))
    }

    private func summary(_ image: Image, tags: [String], repoDigests: [String]) -> JSON {
        let created = (try? Timestamp(parsing: image.created))?.seconds ?? 0
        return [
            "Containers": -1, "Created": JSON(created), "Id": JSON(image.id),
            "Labels": JSON(image.configuration.labels), "ParentId": JSON(image.parent),
            "RepoDigests": JSON(repoDigests), "RepoTags": JSON(tags), "SharedSize": -1,
            "Size": JSON(image.size),
        ]
    }

    private func document(_ image: Image) -> JSON {
        [
            "Id": JSON(image.id), "RepoTags": JSON(image.tags), "RepoDigests": JSON(image.repoDigests),
            "Parent": JSON(image.parent), "Comment": JSON(image.comment), "Created": JSON(image.created),
            "DockerVersion": "", "Author": JSON(image.author), "Config": image.configuration.raw["config"],
            "Architecture": JSON(image.architecture), "Variant": JSON(image.variant), "Os": JSON(image.os),
            "Size": JSON(image.size), "GraphDriver": ["Data": .null, "Name": "overlay2"],
            "RootFS": ["Type": "layers", "Layers": JSON(image.diffIDs)],
            "Metadata": ["LastTagTime": JSON(Timestamp.zeroText)],
        ]
    }

    // MARK: pull, import, push

    private func pullOrImport(_ request: Request) async throws -> Response {
        let query = request.query
        if let source = query.first("fromSrc"), !source.isEmpty { return try await importArchive(request, source) }
        let image = query.first("fromImage") ?? ""
        let tag = query.first("tag") ?? ""
        guard !image.isEmpty else { throw SkalaError(.invalid, "invalid reference format") }
        let separator = tag.contains(":") ? "@" : ":"
        let reference = try Reference(parsing: tag.isEmpty ? image : image + separator + tag)
        let credentials = credentials(request)
        let platform = query.first("platform").flatMap { $0.isEmpty ? nil : $0 }
        // As Docker: a name alone is the whole repository. Clients say `latest` when they want only that.
        let isWhole = tag.isEmpty && !Reference.hasTagOrDigest(image)
        // Before the answer begins: an image that is not there is a status of its own, as clients expect.
        let tags: [Reference]
        let first: ImageStore.RemoteImage?
        do {
            tags = isWhole ? try await engine.images.tags(in: reference, credentials: credentials) : [reference]
            first = try await lookUp(tags.first, platform, credentials)
        } catch let error as SkalaError where error.code == .unauthorized {
            // As Docker: whether it exists is not told to those who may not see it.
            throw SkalaError(.notFound, error.message, cause: error)
        }
        return JSONLines.progress { report in
            var isAnyNew = false
            for (index, tag) in tags.enumerated() {
                let found = index == 0 ? first : try await lookUp(tag, platform, credentials)
                guard let remote = found else { continue }
                let (_, isNew) = try await engine.images.pull(remote, progress: report)
                isAnyNew = isAnyNew || isNew
                publish("pull", tag.familiar)
            }
            let name = isWhole ? reference.familiarRepository : reference.familiar
            report(ImageStore.status(of: name, isNew: isAnyNew))
        }
    }

    private func lookUp(
        _ reference: Reference?, _ platform: String?, _ credentials: RegistryCredentials?
    ) async throws -> ImageStore.RemoteImage? {
        guard let reference else { return nil }
        return try await engine.images.lookUp(reference, platform: platform, credentials: credentials)
    }

    private func push(_ request: Request) async throws -> Response {
        let name = request.parameter("name")
        let tag = request.query.first("tag") ?? ""
        let reference = try Reference(parsing: tag.isEmpty ? name : name + ":" + tag)
        let credentials = credentials(request)
        // A name without any tag is all the repository's.
        let found =
            tag.isEmpty && !Reference.hasTagOrDigest(name)
            ? await engine.images.references(in: reference.repository) : []
        return JSONLines.progress { report in
            for reference in found.isEmpty ? [reference] : found {
                try await engine.images.push(reference, credentials: credentials, progress: report)
                publish("push", reference.familiar)
            }
        }
    }

    private func importArchive(_ request: Request, _ source: String) async throws -> Response {
        guard source == "-" else {
            throw SkalaError(.unsupported, "importing from a URL is not supported: download it and import the file")
        }
        let query = request.query
        let repository = query.first("repo") ?? ""
        let tag = query.first("tag") ?? ""
        let name = tag.isEmpty ? repository : repository + ":" + tag
        let reference = repository.isEmpty ? nil : try Reference(parsing: name)
        let image = try await BodyPipe.reading(request.body) { descriptor in
            try await engine.images.importArchive(
                from: descriptor, reference: reference, message: query.first("message") ?? "",
                changes: query.all("changes"))
        }
        publish("import", image.id)
        return JSONLines.response { try await $0.write(["status": JSON(image.id)]) }
    }

    // MARK: load, save, tag, commit, prune

    private func load(_ request: Request) async throws -> Response {
        let body = request.body
        let isQuiet = request.query.flag("quiet")
        return JSONLines.progress { report in
            let loaded = try await BodyPipe.reading(body) { descriptor in
                try await engine.images.load(from: descriptor) { if !isQuiet { report($0) } }
            }
            for entry in loaded {
                publish("load", entry.image.id)
                for (name, old) in entry.moved {
                    let text = "The image \(name) already exists, renaming the old one with ID \(old) to empty string\n"
                    report(["stream": JSON(text)])
                }
                if entry.names.isEmpty { report(["stream": JSON("Loaded image ID: \(entry.image.id)\n")]) }
                for name in entry.names { report(["stream": JSON("Loaded image: \(name)\n")]) }
            }
        }
    }

    private func save(_ names: [String]) async throws -> Response {
        for name in names { publish("save", try await engine.images.find(name).id) }
        return .stream(contentType: "application/x-tar") { writer in
            try await BodyPipe.writing(writer) { descriptor in
                try await engine.images.save(names, to: descriptor)
            }
        }
    }

    private func tag(_ request: Request) async throws -> Response {
        let repository = request.query.first("repo") ?? ""
        let tag = request.query.first("tag") ?? ""
        let name = tag.isEmpty ? repository : repository + ":" + tag
        try await engine.images.tag(request.parameter("name"), as: name)
        let image = try await engine.images.find(name)
        let familiar = try Reference(parsing: name).familiar
        engine.events.publish("image", "tag", image.id, ["name": familiar])
        return Response(status: 201)
    }

    private func commit(_ request: Request) async throws -> Response {
        let query = request.query
        let container = try await engine.containers.find(query.first("container") ?? "")
        let repository = query.first("repo") ?? ""
        let tag = query.first("tag") ?? ""
        let name = tag.isEmpty ? repository : repository + ":" + tag
        let image = try await container.commit(
            reference: repository.isEmpty ? nil : try Reference(parsing: name), author: query.first("author") ?? "",
            comment: query.first("comment") ?? "", changes: query.all("changes"),
            pause: query.flag("pause", default: true))
        return .json(["Id": JSON(image.id)], status: 201)
    }

    private func prune(_ request: Request) async throws -> Response {
        let filters = try Filters(request, allowed: ["dangling", "until", "label", "label!"])
        let onlyDangling = try filters.flag("dangling") ?? true
        let limit = try PruneFilter(filters)
        let (deleted, reclaimed) = try await engine.images.prune(danglingOnly: onlyDangling) { image in
            limit.includes(
                (try? Timestamp(parsing: image.created)) ?? Timestamp(nanoseconds: 0), image.configuration.labels)
        }
        return .json(["ImagesDeleted": deleted.isEmpty ? .null : JSON(deleted), "SpaceReclaimed": JSON(reclaimed)])
    }
}
