import Base
import Glibc
import Kernel
import OCI

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
