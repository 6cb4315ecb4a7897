import Base
import Glibc
import Kernel
import OCI

/// Sends the parts of one image. Blocking; its calls may run on several threads at once.
struct Pusher: Sendable {
    /// Tries of one blob: its data goes in one piece, from the beginning each time.
    private static let tryLimit = 5

    let content: ContentStore
    let reference: Reference
    let credentials: RegistryCredentials?
    let cancellation: Cancellation

    /// Sends a layer, unless it is there.
    func push(_ layer: ImageRecord.Layer, _ progress: @escaping @Sendable (JSON) -> Void) throws {
        var shown: Int64 = 0
        let isNew = try send(blob: layer.digest) { sent in
            let now = SystemClock.monotonicNanoseconds()
            guard now - shown > 100_000_000 else { return }
            shown = now
            progress(ProgressMessage.transfer("Pushing", of: layer.digest, current: sent, total: layer.size))
        }
        progress(ProgressMessage.status(isNew ? "Pushed" : "Layer already exists", of: layer.digest))
    }

    /// - Returns: false when the registry has it.
    private func send(blob digest: String, _ progress: @escaping (Int64) -> Void) throws -> Bool {
        let client = RegistryClient(reference, credentials: credentials)
        var count = 0
        while true {
            if cancellation.isCancelled { throw SkalaError(.cancelled, "cancelled") }
            do {
                if try client.has(blob: digest) { return false }
                try client.upload(blob: digest, from: content.blobPath(digest)) { sent in
                    progress(sent)
                    return !cancellation.isCancelled
                }
                return true
            } catch let error as SkalaError where error.code == .unavailable {
                // Broken connections and busy servers; a registry that says no is not asked again.
                count += 1
                guard count < Pusher.tryLimit, !cancellation.isCancelled else { throw error }
                usleep(UInt32(50_000 << count))
            }
        }
    }

    /// Sends the configuration and the manifest, when all layers are there.
    ///
    /// - Returns: the manifest's digest.
    func finish(_ record: ImageRecord, _ progress: (JSON) -> Void) throws -> String {
        let client = RegistryClient(reference, credentials: credentials)
        _ = try send(blob: record.id) { _ in }
        let layers = try record.layers.map { layer -> JSON in
            ["mediaType": JSON(try ociType(of: layer)), "digest": JSON(layer.digest), "size": JSON(layer.size)]
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
