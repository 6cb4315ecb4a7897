public import Base
import Glibc
import Kernel
import OCI

/// The images on this host.
///
/// The index of images is one file that is replaced as a whole; blobs and layers it does not name are rubbish, removed
/// when an image goes. Work that blocks runs on the store's own threads; changes of the index are made one at a time.
public actor ImageStore {
    let content: ContentStore
    let threads = WorkerThreads(limit: 4)
    let mirrors: [String]
    private(set) var records: [String: ImageRecord] = [:]
    private var configurations: [String: ImageConfiguration] = [:]
    private var holders: [String: Set<String>] = [:]
    /// Pulls and loads under way: nothing is collected meanwhile.
    private var additions = 0

    /// - Parameter root: a folder on a file system overlayfs can use.
    public init(root: String, mirrors: [String] = []) async throws {
        RegistryClient.initialize()
        self.mirrors = mirrors
        content = try ContentStore(root: root)
        let path = root + "/index.json"
        guard access(path, F_OK) == 0 else { return }
        for json in try JSON(parsing: FileContents.read(path, limit: 256 << 20))["images"].array ?? [] {
            let record = try ImageRecord(json: json)
            records[record.id] = record
            configurations[record.id] = ImageConfiguration(try content.document(record.id))
        }
    }

    // MARK: look-up

    public func list() -> [Image] { records.values.sorted { $0.id < $1.id }.compactMap(image) }

    private func image(_ record: ImageRecord) -> Image? {
        configurations[record.id].map { configuration in
            Image(
                id: record.id, tags: record.tags.map(ImageStore.familiar),
                repoDigests: record.repoDigests.map(ImageStore.familiar), configuration: configuration,
                size: record.size)
        }
    }

    static func familiar(_ name: String) -> String {
        // Names in the index are references that were parsed once.
        (try? Reference(parsing: name))?.familiar ?? name
    }

    /// By name, id, or the start of an id.
    ///
    /// - Throws: `.notFound` with Docker's text.
    public func find(_ name: String) throws -> Image {
        guard let image = image(try record(name)) else { throw SkalaError(.notFound, "No such image: \(name)") }
        return image
    }

    func record(_ name: String) throws -> ImageRecord {
        if let record = records[name] ?? records["sha256:" + name] { return record }
        if let reference = try? Reference(parsing: name) {
            let full = ImageStore.full(reference)
            if let record = records.values.first(where: { $0.tags.contains(full) || $0.repoDigests.contains(full) }) {
                return record
            }
        }
        let hexadecimal = name.hasPrefix("sha256:") ? String(name.dropFirst(7)) : name
        let isID = hexadecimal.count >= 2 && hexadecimal.utf8.allSatisfy { Hexadecimal.value(of: $0) != nil }
        let matches = isID ? records.values.filter { $0.id.dropFirst(7).hasPrefix(hexadecimal) } : []
        if matches.count == 1, let match = matches.first { return match }
        let shown = (try? Reference(parsing: name))?.familiar ?? name
        throw SkalaError(.notFound, "No such image: \(name.hasPrefix("sha256:") ? name : shown)")
    }

    static func full(_ reference: Reference) -> String {
        reference.repository + (reference.digest.map { "@" + $0 } ?? ":" + (reference.tag ?? "latest"))
    }

    /// The folders of the image's layers, topmost first: overlayfs' lowerdir.
    public func layerPaths(of image: Image) -> [String] { image.diffIDs.reversed().map(content.layerPath) }

    /// Notes that a container uses the image: it cannot be removed without force, and its layers stay in any case.
    public func retain(image id: String, holder: String) { holders[id, default: []].insert(holder) }

    public func release(holder: String) {
        for id in holders.keys { holders[id]?.remove(holder) }
        holders = holders.filter { !$0.value.isEmpty }
    }

    // MARK: changes of the index

    private func save(_ new: [String: ImageRecord]) async throws {
        let images = new.values.sorted { $0.id < $1.id }.map(\.json)
        let bytes = JSON.object(JSONObject([("version", 1), ("images", JSON(images))])).bytes
        let path = content.root + "/index.json"
        do {
            try FileContents.replace(path, with: bytes)
        } catch { throw error.asSkalaError }
        records = new
    }

    /// Runs something that adds blobs and layers; they are not collected while it runs.
    func adding<Value: Sendable>(_ body: () async throws -> Value) async throws -> Value {
        additions += 1
        do {
            let value = try await body()
            additions -= 1
            return value
        } catch {
            additions -= 1
            // What a failed pull left is rubbish, but for the next try's sake not urgent: a failure to collect it now
            // hides nothing.
            _ = try? await collect()
            throw error
        }
    }

    /// Puts an image whose blobs and layers are here into the index; its tags move from images that had them.
    func register(_ record: ImageRecord) async throws -> Image {
        var new = records
        var record = record
        if let old = new[record.id] {
            record.tags = Array(Set(record.tags + old.tags)).sorted()
            record.repoDigests = Array(Set(record.repoDigests + old.repoDigests)).sorted()
        }
        for (id, other) in new where id != record.id {
            new[id]?.tags = other.tags.filter { !record.tags.contains($0) }
        }
        new[record.id] = record
        let configuration = ImageConfiguration(try content.document(record.id))
        configurations[record.id] = configuration
        try await save(new)
        return try find(record.id)
    }

    public func tag(_ source: String, as target: String) async throws {
        var record = try record(source)
        let reference = try Reference(parsing: target)
        guard reference.digest == nil else {
            throw SkalaError(.invalid, "refusing to create a tag with a digest reference")
        }
        record.tags.append(ImageStore.full(reference))
        _ = try await register(record)
    }

    /// Removes a name, and the image with its last one.
    ///
    /// - Returns: `{"Untagged": …}` and `{"Deleted": …}`, as Docker answers.
    /// - Throws: `.conflict` with Docker's texts when a container uses it, or it has several names and was named by id.
    public func remove(_ name: String, force: Bool, prune: Bool) async throws -> [JSON] {
        var record = try record(name)
        let isByID = record.id == name || record.id.dropFirst(7).hasPrefix(name) || name.hasPrefix("sha256:")
        var removed: [JSON] = []
        let short = Identifier.short(String(record.id.dropFirst(7)))
        var names = record.tags + record.repoDigests
        if !isByID, let reference = try? Reference(parsing: name) {
            let full = ImageStore.full(reference)
            let remaining = record.tags.filter { $0 != full }
            if !remaining.isEmpty {
                record.tags = remaining
                // A repository's digests go with its last tag.
                let isLast = !remaining.contains { $0.hasPrefix(reference.repository + ":") }
                let gone = record.repoDigests.filter {
                    $0 == full || isLast && $0.hasPrefix(reference.repository + "@")
                }
                record.repoDigests.removeAll { gone.contains($0) }
                var new = records
                new[record.id] = record
                try await save(new)
                let names = [reference.familiar] + gone.filter { $0 != full }.map(ImageStore.familiar)
                return names.map { ["Untagged": JSON($0)] }
            }
            names = record.tags + record.repoDigests
        } else if record.tags.count > 1, !force {
            throw SkalaError(
                .conflict,
                "conflict: unable to delete \(short) (must be forced) - image is referenced in multiple repositories")
        }
        if let users = holders[record.id], let user = users.min() {
            guard force else {
                throw SkalaError(
                    .conflict,
                    "conflict: unable to remove repository reference \"\(name)\" (must force) - container "
                        + "\(Identifier.short(user)) is using its referenced image \(short)")
            }
        }
        removed += names.map { ["Untagged": JSON(ImageStore.familiar($0))] }
        var new = records
        if holders[record.id] == nil {
            new[record.id] = nil
            removed.append(["Deleted": JSON(record.id)])
        } else {
            // Containers go on using it, without a name.
            record.tags = []
            record.repoDigests = []
            new[record.id] = record
        }
        try await save(new)
        if new[record.id] == nil { configurations[record.id] = nil }
        _ = try await collect()
        return removed
    }

    /// Removes images no container uses: those without a name, or all.
    public func prune(
        danglingOnly: Bool, where isIncluded: @Sendable (Image) -> Bool
    ) async throws -> (deleted: [JSON], reclaimed: Int64) {
        var new = records
        var deleted: [JSON] = []
        for image in list() where holders[image.id] == nil && isIncluded(image) {
            if danglingOnly, !image.tags.isEmpty { continue }
            new[image.id] = nil
            deleted += image.tags.map { ["Untagged": JSON($0)] }
            deleted.append(["Deleted": JSON(image.id)])
        }
        guard !deleted.isEmpty else { return ([], 0) }
        try await save(new)
        configurations = configurations.filter { new[$0.key] != nil }
        return (deleted, try await collect())
    }

    /// Removes what no image names.
    private func collect() async throws -> Int64 {
        guard additions == 0 else { return 0 }
        var blobs: Set<String> = []
        var layers: Set<String> = []
        for (id, record) in records {
            blobs.insert(id)
            blobs.formUnion(record.layers.map(\.digest))
            layers.formUnion(configurations[id]?.raw["rootfs"]["diff_ids"].strings ?? [])
        }
        do {
            // On this actor's own time: nothing may be added between the look at the index and the removal.
            return try content.collect(keepingBlobs: blobs, layers: layers)
        } catch let error as KernelError { throw error.asSkalaError }
    }

    /// The document of `GET /images/{name}/history`.
    public func history(_ name: String) throws -> JSON {
        let image = try find(name)
        var sizes: [Int64] = []
        for diffID in image.diffIDs { sizes.append(try DiskUsage.bytes(below: content.layerPath(diffID))) }
        var entries: [JSON] = []
        for step in image.configuration.raw["history"].array ?? [] {
            let isEmpty = step["empty_layer"].bool ?? false
            let created = step["created"].string.flatMap { try? Timestamp(parsing: $0) }  // absent means unknown
            entries.append([
                "Comment": JSON(step["comment"].string ?? ""), "Created": JSON(created?.seconds ?? 0),
                "CreatedBy": JSON(step["created_by"].string ?? ""), "Id": "<missing>",
                "Size": JSON(isEmpty || sizes.isEmpty ? 0 : sizes.removeFirst()), "Tags": .null,
            ])
        }
        entries.reverse()
        if entries.isEmpty { entries = [["Comment": "", "Created": 0, "CreatedBy": "", "Size": JSON(image.size)]] }
        entries[0]["Id"] = JSON(image.id)
        entries[0]["Tags"] = image.tags.isEmpty ? .null : JSON(image.tags)
        return JSON(entries)
    }
}
