import Archives
public import Base
import CLinux
import Glibc
public import Kernel
public import OCI

extension ImageStore {
    /// Makes an image of a tar archive of a root file system.
    ///
    /// - Parameter changes: Dockerfile instructions.
    public func importArchive(
        from descriptor: OwnedDescriptor, reference: Reference?, message: String, changes: [String]
    ) async throws -> Image {
        let config = try ConfigChange.apply(changes, to: [:])
        let made = message.isEmpty ? "Imported from -" : message
        return try await adding {
            let content = content
            let path = content.temporaryPath()
            let layer = try await threads.run {
                defer { unlink(path) }
                let file = try OwnedDescriptor.open(path, O_RDWR | O_CREAT | O_EXCL)
                while true {
                    let bytes = try Pipe.read(descriptor.raw, upTo: 1 << 20)
                    if bytes.isEmpty { break }
                    try FileContents.append(bytes, to: file.raw, path)
                }
                return try content.addLayer(file: path)
            }
            let step: JSON = ["created": JSON(SystemClock.now().text), "comment": JSON(made)]
            return try await make(
                config: config, on: nil, layer: layer, history: step, reference: reference, author: "", comment: made)
        }
    }

    /// Makes an image of what a container wrote over its image.
    ///
    /// - Parameter write: writes an archive of it, of any origin, to a descriptor: it is taken as a stranger's.
    public func commit(
        on base: Image, config: JSON, reference: Reference?, author: String, comment: String,
        layer write: @Sendable (OwnedDescriptor) async throws -> Void
    ) async throws -> Image {
        try await adding {
            let content = content
            let path = content.temporaryPath()
            defer { unlink(path) }
            let file = try await threads.run { try OwnedDescriptor.open(path, O_RDWR | O_CREAT | O_EXCL) }
            try await write(file)
            let layer = try await threads.run { try content.addLayer(file: path) }
            let command = (config["Cmd"].strings ?? []).joined(separator: " ")
            let step: JSON = [
                "created": JSON(SystemClock.now().text), "author": JSON(author), "created_by": JSON(command),
                "comment": JSON(comment),
            ]
            return try await make(
                config: config, on: base, layer: layer, history: step, reference: reference, author: author,
                comment: comment)
        }
    }

    /// Makes an image of a machine's disk, in the form of "container disks": one layer with a file in `/disk`.
    ///
    /// - Parameter write: writes the disk to a file and answers the name it gets there.
    public func importDisk(
        config: JSON, reference: Reference?, author: String, comment: String,
        disk write: @Sendable (OwnedDescriptor) async throws -> String
    ) async throws -> Image {
        try await adding {
            let content = content
            let folder = content.temporaryPath()
            let path = content.temporaryPath()
            do {
                try FileContents.makeDirectories(folder + "/disk")
                let file = try OwnedDescriptor.open(folder + "/disk/new", O_RDWR | O_CREAT | O_EXCL, mode: 0o444)
                let name = try await write(file)
                let layer = try await threads.run {
                    try checkErrno(rename(folder + "/disk/new", folder + "/disk/" + name), "rename", name)
                    let archive = try OwnedDescriptor.open(path, O_RDWR | O_CREAT | O_EXCL)
                    let writer = ArchiveWriter(descriptor: archive.raw)
                    let root = try OwnedDescriptor.open(folder, O_RDONLY | CL_O_DIRECTORY)
                    try writer.addContents(of: root.raw, folder)
                    try writer.finish()
                    try FileContents.removeTree(folder)
                    return try content.addLayer(file: path)
                }
                let step: JSON = [
                    "created": JSON(SystemClock.now().text), "author": JSON(author), "comment": JSON(comment),
                ]
                return try await make(
                    config: config, on: nil, layer: layer, history: step, reference: reference, author: author,
                    comment: comment)
            } catch {
                try? FileContents.removeTree(folder)  // the first error is the one that tells
                unlink(path)
                throw error
            }
        }
    }

    private func make(
        config: JSON, on base: Image?, layer: (layer: ImageRecord.Layer, diffID: String, size: Int64), history: JSON,
        reference: Reference?, author: String, comment: String
    ) async throws -> Image {
        let platform = Platform(machine: HostFacts.architecture)
        let previous = base?.configuration.raw["history"].array ?? []
        let document: JSON = [
            "created": JSON(SystemClock.now().text), "author": JSON(author), "comment": JSON(comment),
            "architecture": JSON(platform.architecture), "os": "linux", "config": config,
            "rootfs": ["type": "layers", "diff_ids": JSON((base?.diffIDs ?? []) + [layer.diffID])],
            "history": JSON(previous + [history]),
        ]
        let id = try content.put(document.bytes)
        let below = try base.map { try record($0.id) }
        return try await register(
            ImageRecord(
                id: id, tags: reference.map { [ImageStore.full($0)] } ?? [], repoDigests: [],
                layers: (below?.layers ?? []) + [layer.layer], size: (below?.size ?? 0) + layer.size))
    }

    /// Writes images as `docker save` does: one archive that is both Docker's and an OCI layout.
    ///
    /// - Parameter output: written from a thread that may block; not closed.
    public func save(_ names: [String], to output: Int32) async throws {
        var chosen: [(record: ImageRecord, tags: [String])] = []
        for name in names {
            for (record, tags) in try entries(name) {
                // Two names of one image make one entry.
                if let index = chosen.firstIndex(where: { $0.record.id == record.id }) {
                    let known = chosen[index].tags
                    chosen[index].tags += tags.filter { !known.contains($0) }
                } else {
                    chosen.append((record, tags))
                }
            }
        }
        let content = content
        let images = chosen
        try await threads.run { try ArchiveSaver(content: content).save(images, to: output) }
    }

    /// As Docker: a name with a tag is that one, a repository all its tags; an id has no name in the archive.
    private func entries(_ name: String) throws -> [(record: ImageRecord, tags: [String])] {
        if let reference = try? Reference(parsing: name), !Reference.hasTagOrDigest(name) {  // else it is an id
            let prefix = reference.repository + ":"
            let found = records.values.map { ($0, $0.tags.filter { $0.hasPrefix(prefix) }) }.filter { !$0.1.isEmpty }
            if !found.isEmpty { return found.sorted { $0.0.id < $1.0.id } }
        }
        let record = try record(name)
        let full = (try? Reference(parsing: name)).map(ImageStore.full)
        return [(record, record.tags.filter { $0 == full })]
    }
}

/// Blocking.
private struct ArchiveSaver {
    let content: ContentStore

    func save(_ images: [(record: ImageRecord, tags: [String])], to output: Int32) throws {
        let writer = ArchiveWriter(descriptor: output)
        let folder = try OwnedDescriptor.open(content.root + "/blobs/sha256", O_RDONLY | CL_O_DIRECTORY)
        var written: Set<String> = []
        func add(_ digest: String) throws {
            guard written.insert(digest).inserted else { return }
            let name = Digest.hexadecimal(digest)
            try writer.add(
                Array(name.utf8CString), in: folder.raw, as: Array("blobs/sha256/\(name)".utf8))
        }
        var manifests: [JSON] = []
        var descriptors: [JSON] = []
        for (record, tags) in images {
            try add(record.id)
            for layer in record.layers { try add(layer.digest) }
            let size = try FileContents.read(content.blobPath(record.id), limit: 8 << 20).count
            let manifest: JSON = [
                "schemaVersion": 2, "mediaType": JSON(MediaType.ociManifest),
                "config": ["mediaType": JSON(MediaType.ociConfig), "digest": JSON(record.id), "size": JSON(size)],
                "layers": JSON(
                    record.layers.map { layer -> JSON in
                        ["mediaType": JSON(layer.mediaType), "digest": JSON(layer.digest), "size": JSON(layer.size)]
                    }),
            ]
            let digest = try SHA256.digest(of: manifest.bytes)
            if written.insert(digest).inserted {
                try writer.add("blobs/sha256/" + Digest.hexadecimal(digest), manifest.bytes)
            }
            let names = tags.compactMap { try? Reference(parsing: $0) }
            for reference in names {
                descriptors.append([
                    "mediaType": JSON(MediaType.ociManifest), "digest": JSON(digest),
                    "size": JSON(manifest.bytes.count),
                    "annotations": [
                        "io.containerd.image.name": JSON(ImageStore.full(reference)),
                        "org.opencontainers.image.ref.name": JSON(reference.tag ?? ""),
                    ],
                ])
            }
            if names.isEmpty {
                descriptors.append([
                    "mediaType": JSON(MediaType.ociManifest), "digest": JSON(digest),
                    "size": JSON(manifest.bytes.count),
                ])
            }
            manifests.append([
                "Config": JSON("blobs/sha256/" + Digest.hexadecimal(record.id)),
                "RepoTags": JSON(names.map(\.familiar)),
                "Layers": JSON(record.layers.map { "blobs/sha256/" + Digest.hexadecimal($0.digest) }),
            ])
        }
        try writer.add("oci-layout", JSON.object(JSONObject([("imageLayoutVersion", "1.0.0")])).bytes)
        let index: JSON = ["schemaVersion": 2, "mediaType": JSON(MediaType.ociIndex), "manifests": JSON(descriptors)]
        try writer.add("index.json", index.bytes)
        try writer.add("manifest.json", JSON(manifests).bytes)
        try writer.finish()
    }
}

extension ContentStore {
    /// Takes an archive as a new layer: computes both digests, keeps and unpacks it.
    func addLayer(file: String) throws -> (layer: ImageRecord.Layer, diffID: String, size: Int64) {
        let diffID = try uncompressedDigest(ofFile: file)
        let (digest, size) = try adopt(file: file)
        let bytes = try unpack(blob: digest, diffID: diffID)
        return (ImageRecord.Layer(digest: digest, size: size, mediaType: MediaType.ociLayer), diffID, bytes)
    }

    private func uncompressedDigest(ofFile path: String) throws -> String {
        let file = try OwnedDescriptor.open(path, O_RDONLY)
        return try ArchiveReader(descriptor: file.raw, limit: layerLimit).finish().digest
    }
}
