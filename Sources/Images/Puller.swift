import Base
import Glibc
import Kernel
import OCI

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
        let (top, client, mirror) = try first { try $0.manifest(name) }
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

    /// The repository's tags, from the first mirror that has it, or the registry.
    func tags() throws -> [String] { try first { try $0.tags() }.answer }

    /// What the first of the mirrors that can answers, or else the registry.
    private func first<Answer>(
        _ ask: (RegistryClient) throws -> Answer
    ) throws -> (answer: Answer, client: RegistryClient, mirror: String?) {
        for mirror in mirrors {
            let client = RegistryClient(reference, credentials: nil, mirror: mirror)
            // A mirror that is down or lacks the image: the next one, or the registry itself, is asked.
            if let answer = try? ask(client) { return (answer, client, mirror) }
        }
        let client = RegistryClient(reference, credentials: credentials)
        return (try ask(client), client, nil)
    }

    func fetch(
        _ blob: Blob, _ manifest: Manifest, _ cancellation: Cancellation, _ progress: @escaping @Sendable (JSON) -> Void
    ) throws {
        guard !content.has(content.blobPath(blob.digest)) else {
            if !blob.isConfiguration { progress(ProgressMessage.status("Already exists", of: blob.digest)) }
            return
        }
        if !blob.isConfiguration { progress(ProgressMessage.status("Pulling fs layer", of: blob.digest)) }
        let temporary = content.temporaryPath()
        defer { unlink(temporary) }
        var shown: Int64 = 0
        let client = RegistryClient(reference, credentials: credentials, mirror: manifest.mirror)
        try client.blob(blob.digest, size: blob.size, to: temporary) { have in
            let now = SystemClock.monotonicNanoseconds()
            if !blob.isConfiguration, now - shown > 100_000_000 {
                shown = now
                progress(ProgressMessage.transfer("Downloading", of: blob.digest, current: have, total: blob.size))
            }
            return !cancellation.isCancelled
        }
        try checkErrno(rename(temporary, content.blobPath(blob.digest)), "rename", temporary)
        if !blob.isConfiguration { progress(ProgressMessage.status("Download complete", of: blob.digest)) }
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
        progress(ProgressMessage.status("Extracting", of: layer.digest))
        _ = try content.unpack(blob: layer.digest, diffID: diffIDs[index])
        progress(ProgressMessage.status("Pull complete", of: layer.digest))
    }
}
