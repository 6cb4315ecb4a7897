public import Base
import Kernel
public import OCI

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
        let remote = try await lookUp(reference, platform: platform, credentials: credentials)
        let (image, isNew) = try await pull(remote, progress: progress)
        progress(ImageStore.status(of: reference.familiar, isNew: isNew))
        return image
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
        let puller = try puller(reference, platform, credentials)
        return RemoteImage(puller: puller, manifest: try await threads.run { try puller.manifest() })
    }

    /// The tags a repository has in its registry, as names in the registry's order.
    ///
    /// - Throws: as `pull` does.
    public func tags(
        in reference: Reference, credentials: RegistryCredentials?
    ) async throws -> [Reference] {
        let puller = try puller(reference, nil, credentials)
        return try await threads.run { try puller.tags() }
            .map { try Reference(parsing: reference.repository + ":" + $0) }
    }

    private func puller(
        _ reference: Reference, _ platform: String?, _ credentials: RegistryCredentials?
    ) throws -> Puller {
        Puller(
            content: content, reference: reference,
            platform: try platform.map { try Platform(parsing: $0) } ?? Platform(machine: HostFacts.architecture),
            credentials: credentials, mirrors: reference.domain == Reference.defaultDomain ? mirrors : [])
    }

    /// Docker's last message of a pull, by which clients tell whether anything changed.
    public static func status(of name: String, isNew: Bool) -> JSON {
        ["status": JSON("Status: \(isNew ? "Downloaded newer image" : "Image is up to date") for \(name)")]
    }

    /// Pulls an image that was looked up.
    ///
    /// - Returns: the image, and whether it was not here before.
    public func pull(
        _ remote: RemoteImage, progress: @escaping @Sendable (JSON) -> Void
    ) async throws -> (image: Image, isNew: Bool) {
        let (puller, manifest, reference) = (remote.puller, remote.manifest, remote.puller.reference)
        return try await adding {
            let cancellation = Cancellation()
            return try await withTaskCancellationHandler {
                progress([
                    "status": JSON("Pulling from \(reference.path)"),
                    "id": JSON(reference.tag ?? reference.digest ?? ""),
                ])
                try await threads.run { try puller.fetch(manifest.configuration, manifest, cancellation, progress) }
                try await forEach(Array(manifest.layers.enumerated()), cancellation) { index, layer in
                    try puller.fetch(layer, manifest, cancellation, progress)
                    try puller.unpack(layer, index, manifest, progress)
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
                return (image, !isKnown)
            } onCancel: {
                cancellation.cancel()
            }
        }
    }

    /// Does something that blocks for each of some layers.
    ///
    /// - Parameter cancellation: set when one fails: the others' work is for nothing then, and nobody waits for it.
    private func forEach<Layer: Sendable>(
        _ layers: [Layer], _ cancellation: Cancellation, _ body: @escaping @Sendable (Layer) throws -> Void
    ) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            var waiting = layers[...]
            func addNext() {
                guard let layer = waiting.popFirst() else { return }
                group.addTask { try await self.threads.run { try body(layer) } }
            }
            // Three at a time, as Docker: more only split the same bandwidth.
            for _ in 0..<3 { addNext() }
            do {
                while try await group.next() != nil { addNext() }
            } catch {
                cancellation.cancel()
                throw error
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
        let cancellation = Cancellation()
        let pusher = Pusher(
            content: content, reference: reference, credentials: credentials, cancellation: cancellation)
        let digest = try await withTaskCancellationHandler {
            for layer in record.layers { progress(ProgressMessage.status("Preparing", of: layer.digest)) }
            try await forEach(record.layers, cancellation) { try pusher.push($0, progress) }
            return try await threads.run { try pusher.finish(record, progress) }
        } onCancel: {
            cancellation.cancel()
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
    /// - Returns: the identity token that stands for them from now on; empty where the registry gives none.
    /// - Throws: `.unauthorized` when it does not take them.
    public func authenticate(_ credentials: RegistryCredentials) async throws -> String {
        let server = credentials.serverAddress
        let host = server.split(separator: "/").map(String.init).first { $0 != "https:" && $0 != "http:" } ?? ""
        let isHub = host.isEmpty || host.hasSuffix("docker.io")
        // A reference names the registry; no repository is asked for.
        let reference = try Reference(parsing: isHub ? "none" : host + "/none")
        return try await threads.run {
            try RegistryClient(reference, credentials: credentials).checkCredentials()
        }
    }
}
