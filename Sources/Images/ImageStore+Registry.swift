public import Base
import Glibc
import Kernel
public import OCI
import Synchronization

extension ImageStore {
    /// Pulls an image.
    ///
    /// - Parameters:
    ///   - platform: of a multi-platform index; nil is the host's.
    ///   - progress: gets Docker's progress messages.
    /// - Throws: `.notFound`, `.unauthorized`, `.unavailable` with Docker's texts; `.invalid` for content that is not
    ///   what its digest says. Nothing of the image is kept then.
    public func pull(
        _ reference: Reference, platform: String?, credentials: RegistryCredentials?,
        progress: @escaping @Sendable (JSON) -> Void
    ) async throws -> Image {
        try await pull(lookUp(reference, platform: platform, credentials: credentials), progress: progress)
    }

    /// An image a registry has: what `pull` fetches.
    public struct RemoteImage: Sendable {
        let puller: Puller
        let manifest: Puller.Manifest
    }

    /// Asks the registry for an image, before anything of it is fetched.
    ///
    /// - Throws: as `pull` does.
    public func lookUp(
        _ reference: Reference, platform: String?, credentials: RegistryCredentials?
    ) async throws -> RemoteImage {
        let wanted = try platform.map { try Platform(parsing: $0) } ?? Platform(machine: HostFacts.architecture)
        let puller = Puller(
            content: content, reference: reference, platform: wanted, credentials: credentials,
            mirrors: reference.domain == Reference.defaultDomain ? mirrors : [])
        return RemoteImage(puller: puller, manifest: try await threads.run { try puller.manifest() })
    }

    /// Pulls an image that was looked up.
    public func pull(
        _ remote: RemoteImage, progress: @escaping @Sendable (JSON) -> Void
    ) async throws -> Image {
        let (puller, manifest, reference) = (remote.puller, remote.manifest, remote.puller.reference)
        return try await adding {
            let cancellation = Cancellation()
            return try await withTaskCancellationHandler {
                progress([
                    "status": JSON("Pulling from \(reference.path)"),
                    "id": JSON(reference.tag ?? reference.digest ?? ""),
                ])
                try await threads.run { try puller.fetch(manifest.configuration, manifest, cancellation, progress) }
                try await withThrowingTaskGroup(of: Void.self) { group in
                    var waiting = Array(manifest.layers.enumerated())[...]
                    func addNext() {
                        guard let (index, layer) = waiting.popFirst() else { return }
                        group.addTask {
                            try await self.threads.run {
                                try puller.fetch(layer, manifest, cancellation, progress)
                                try puller.unpack(layer, index, manifest, progress)
                            }
                        }
                    }
                    // Three at a time, as Docker: more only split the same bandwidth.
                    for _ in 0..<3 { addNext() }
                    do {
                        while try await group.next() != nil { addNext() }
                    } catch {
                        // The others' work is for nothing: a pull that fails does not wait for it.
                        cancellation.cancel()
                        throw error
                    }
                }
                let layers = manifest.layers.map {
                    ImageRecord.Layer(digest: $0.digest, size: $0.size, mediaType: $0.mediaType)
                }
                let isKnown = records[manifest.config] != nil
                let content = content
                let full = ImageStore.full(reference)
                let record = try await threads.run {
                    try ArchiveLoader(content: content).finish(
                        id: manifest.config, layers: layers, tags: reference.digest == nil ? [full] : [],
                        repoDigests: [reference.repository + "@" + manifest.digest]
                    ) { _ in }
                }
                let image = try await register(record)
                progress(["status": JSON("Digest: \(manifest.digest)")])
                let verb = isKnown ? "Image is up to date for" : "Downloaded newer image for"
                progress(["status": JSON("Status: \(verb) \(reference.familiar)")])
                return image
            } onCancel: {
                cancellation.cancel()
            }
        }
    }

    /// The names with tags that a repository has here, sorted.
    public func references(in repository: String) -> [Reference] {
        // Names in the index are references that were parsed once.
        records.values.flatMap(\.tags).sorted().compactMap { try? Reference(parsing: $0) }
            .filter { $0.repository == repository }
    }

    /// Pushes an image under the name it was tagged with.
    ///
    /// - Throws: `.notFound` when no image has that name; what the registry answers otherwise.
    public func push(
        _ reference: Reference, credentials: RegistryCredentials?, progress: @escaping @Sendable (JSON) -> Void
    ) async throws {
        let record: ImageRecord
        do {
            record = try self.record(ImageStore.full(reference))
        } catch {
            throw SkalaError(.notFound, "An image does not exist locally with the tag: \(reference.familiarRepository)")
        }
        let content = content
        progress(["status": JSON("The push refers to repository [\(reference.repository)]")])
        let digest = try await threads.run {
            try Pusher(content: content, reference: reference, credentials: credentials).push(record, progress)
        }
        // It may have been removed, or given other names, meanwhile.
        if var current = records[record.id] {
            current.repoDigests.append(reference.repository + "@" + digest)
            _ = try await register(current)
        }
    }

    /// What the registry has under a name: the document of `GET /distribution/{name}/json`.
    public func distribution(_ reference: Reference, credentials: RegistryCredentials?) async throws -> JSON {
        try await threads.run {
            let client = RegistryClient(reference, credentials: credentials)
            let found = try client.manifest(reference.digest ?? reference.tag ?? "latest")
            let platforms = (found.document["manifests"].array ?? []).map { $0["platform"] }
            return [
                "Descriptor": [
                    "mediaType": JSON(found.type), "digest": JSON(found.digest), "size": JSON(found.bytes.count),
                ],
                "Platforms": JSON(platforms),
            ]
        }
    }

    /// Checks credentials with a registry.
    ///
    /// - Throws: `.unauthorized` when it does not take them.
    public func authenticate(_ credentials: RegistryCredentials) async throws {
        let server = credentials.serverAddress
        let host = server.split(separator: "/").map(String.init).first { $0 != "https:" && $0 != "http:" } ?? ""
        let isHub = host.isEmpty || host.hasSuffix("docker.io")
        let name = isHub ? "library/ping" : host + "/ping"
        let reference = try Reference(parsing: name)
        try await threads.run { try RegistryClient(reference, credentials: credentials).checkCredentials() }
    }
}

/// Tells work on another thread that nobody waits for it any more.
public final class Cancellation: Sendable {
    private let state = Mutex(false)
    public init() {}
    public var isCancelled: Bool { state.withLock { $0 } }
    public func cancel() { state.withLock { $0 = true } }
}

/// Fetches the parts of one image. Blocking; its calls may run on several threads at once.
struct Puller: Sendable {
    struct Blob: Sendable {
        let digest: String
        let size: Int64
        let mediaType: String
        let isConfiguration: Bool
    }

    struct Manifest: Sendable {
        let digest: String
        let config: String
        let configuration: Blob
        /// Lowest first.
        let layers: [Blob]
        /// The mirror it came from, which its blobs are asked of too; nil is the registry itself.
        let mirror: String?
    }

    let content: ContentStore
    let reference: Reference
    let platform: Platform
    let credentials: RegistryCredentials?
    let mirrors: [String]

    /// The image's manifest, from the first mirror that has it, or the registry.
    func manifest() throws -> Manifest {
        let name = reference.digest ?? reference.tag ?? "latest"
        var mirror: String?
        var client = RegistryClient(reference, credentials: credentials)
        var found: (document: JSON, bytes: [UInt8], digest: String, type: String)?
        for candidate in mirrors {
            // A mirror that is down or lacks the image: the next one, or the registry itself, is asked.
            let mirrored = RegistryClient(reference, credentials: nil, mirror: candidate)
            guard let manifest = try? mirrored.manifest(name) else { continue }
            (found, mirror, client) = (manifest, candidate, mirrored)
            break
        }
        let top = try found ?? client.manifest(name)
        var manifest = top
        if let choices = top.document["manifests"].array {
            guard let digest = platform.choose(from: choices)?["digest"].string else {
                throw SkalaError(
                    .notFound, "no matching manifest for \(platform.text) in the manifest list entries")
            }
            manifest = try client.manifest(digest)
        }
        let config = manifest.document["config"]
        guard let configDigest = config["digest"].string, let layers = manifest.document["layers"].array else {
            throw SkalaError(.invalid, "\(reference.familiar) is no image: its manifest has no configuration or layers")
        }
        let blobs = ([config] + layers).enumerated().map { index, blob in
            Blob(
                digest: blob["digest"].string ?? "", size: blob["size"].int ?? 0,
                mediaType: blob["mediaType"].string ?? "", isConfiguration: index == 0)
        }
        guard blobs.allSatisfy({ Digest.isValid($0.digest) && $0.size >= 0 }) else {
            throw SkalaError(.invalid, "\(reference.familiar): a descriptor of its manifest has no valid digest")
        }
        return Manifest(
            digest: top.digest, config: configDigest, configuration: blobs[0], layers: Array(blobs.dropFirst()),
            mirror: mirror)
    }

    func fetch(
        _ blob: Blob, _ manifest: Manifest, _ cancellation: Cancellation, _ progress: @escaping @Sendable (JSON) -> Void
    ) throws {
        let id = JSON(Identifier.short(Digest.hexadecimal(blob.digest)))
        guard !content.has(content.blobPath(blob.digest)) else {
            if !blob.isConfiguration { progress(["status": "Already exists", "progressDetail": [:], "id": id]) }
            return
        }
        if !blob.isConfiguration { progress(["status": "Pulling fs layer", "progressDetail": [:], "id": id]) }
        let temporary = content.temporaryPath()
        defer { unlink(temporary) }
        var shown: Int64 = 0
        let client = RegistryClient(reference, credentials: credentials, mirror: manifest.mirror)
        try client.blob(blob.digest, size: blob.size, to: temporary) { have in
            let now = SystemClock.monotonicNanoseconds()
            if !blob.isConfiguration, now - shown > 100_000_000 {
                shown = now
                progress(ProgressMessage.downloading(id: id, current: have, total: blob.size))
            }
            return !cancellation.isCancelled
        }
        try checkErrno(rename(temporary, content.blobPath(blob.digest)), "rename", temporary)
        if !blob.isConfiguration { progress(["status": "Download complete", "progressDetail": [:], "id": id]) }
    }
}

extension Puller {
    /// Unpacks a layer as soon as it is here, while others are still on their way.
    func unpack(
        _ layer: Blob, _ index: Int, _ manifest: Manifest, _ progress: @escaping @Sendable (JSON) -> Void
    ) throws {
        let diffIDs = try content.document(manifest.config)["rootfs"]["diff_ids"].strings ?? []
        guard diffIDs.indices.contains(index), Digest.isValid(diffIDs[index]) else {
            throw SkalaError(.invalid, "\(reference.familiar): its configuration does not fit its layers")
        }
        guard !content.has(content.layerPath(diffIDs[index])) else { return }
        let id = JSON(Identifier.short(Digest.hexadecimal(layer.digest)))
        progress(["status": "Extracting", "progressDetail": [:], "id": id])
        _ = try content.unpack(blob: layer.digest, diffID: diffIDs[index])
        progress(["status": "Pull complete", "progressDetail": [:], "id": id])
    }
}

/// Sends the parts of one image. Blocking.
struct Pusher {
    let content: ContentStore
    let reference: Reference
    let credentials: RegistryCredentials?

    /// - Returns: the manifest's digest.
    func push(_ record: ImageRecord, _ progress: (JSON) -> Void) throws -> String {
        let client = RegistryClient(reference, credentials: credentials)
        var layers: [JSON] = []
        for layer in record.layers {
            let id = JSON(Identifier.short(Digest.hexadecimal(layer.digest)))
            progress(["status": "Preparing", "progressDetail": [:], "id": id])
            if try client.has(blob: layer.digest) {
                progress(["status": "Layer already exists", "progressDetail": [:], "id": id])
            } else {
                progress(["status": "Pushing", "progressDetail": [:], "id": id])
                try client.upload(blob: layer.digest, from: content.blobPath(layer.digest)) { _ in true }
                progress(["status": "Pushed", "progressDetail": [:], "id": id])
            }
            layers.append([
                "mediaType": JSON(try ociType(of: layer)), "digest": JSON(layer.digest), "size": JSON(layer.size),
            ])
        }
        if try !client.has(blob: record.id) {
            try client.upload(blob: record.id, from: content.blobPath(record.id)) { _ in true }
        }
        let size = try FileContents.read(content.blobPath(record.id), limit: 8 << 20).count
        let manifest: JSON = [
            "schemaVersion": 2, "mediaType": JSON(MediaType.ociManifest),
            "config": ["mediaType": JSON(MediaType.ociConfig), "digest": JSON(record.id), "size": JSON(size)],
            "layers": JSON(layers),
        ]
        let bytes = manifest.bytes
        let path = content.temporaryPath()
        defer { unlink(path) }
        try FileContents.overwrite(path, with: bytes)
        let tag = reference.tag ?? "latest"
        try client.upload(manifest: path, size: Int64(bytes.count), type: MediaType.ociManifest, as: tag)
        let digest = try SHA256.digest(of: bytes)
        progress(["status": JSON("\(tag): digest: \(digest) size: \(bytes.count)")])
        return digest
    }

    /// By the data itself: archives name every layer's type the same, whether compressed or not.
    private func ociType(of layer: ImageRecord.Layer) throws -> String {
        let file = try OwnedDescriptor.open(content.blobPath(layer.digest), O_RDONLY)
        let start = try Pipe.read(file.raw, upTo: 4)
        if start.starts(with: [0x1F, 0x8B]) { return MediaType.ociLayerGzip }
        if start.starts(with: [0x28, 0xB5, 0x2F, 0xFD]) { return "application/vnd.oci.image.layer.v1.tar+zstd" }
        return "application/vnd.oci.image.layer.v1.tar"
    }
}

/// Progress as the docker CLI shows it.
enum ProgressMessage {
    static func downloading(id: JSON, current: Int64, total: Int64) -> JSON {
        let filled = total > 0 ? Int(min(50, current * 50 / total)) : 0
        let bar = String(repeating: "=", count: filled) + ">" + String(repeating: " ", count: 50 - filled)
        let text = "[\(bar.prefix(50))] \(ByteSize.decimal(current))/\(ByteSize.decimal(total))"
        return [
            "status": "Downloading", "progressDetail": ["current": JSON(current), "total": JSON(total)],
            "progress": JSON(text), "id": id,
        ]
    }
}
