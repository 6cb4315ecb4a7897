import Archives
public import Base
import CLinux
import Glibc
public import Kernel
import OCI
import CCurl
import CCrypto
import CArchive

extension ImageStore {
    /// What one entry of an archive has become.
    public struct Loaded: Sendable {
        public let image: Image
        /// The names the archive gives it, as users write them; the image may have others here.
        public let names: [String]
        /// Names of it that another image had until now, and that image.
        public let moved: [(name: String, from: String)]
    }

    /// Loads images from an archive of `docker save` or an OCI layout, compressed or not.
    ///
    /// - Throws: `.invalid` when it is neither, or damaged. Nothing of it is kept then.
    public func load(
        from descriptor: OwnedDescriptor, progress: @escaping @Sendable (JSON) -> Void
    ) async throws -> [Loaded] {
        try await adding {
            let content = content
            let folder = content.temporaryPath()
            do {
                let found = try await threads.run {
                    try ArchiveLoader(content: content).load(descriptor.raw, in: folder, progress)
                }
                var loaded: [Loaded] = []
                for record in found {
                    let moved = record.tags.compactMap { tag in
                        records.values.first { $0.id != record.id && $0.tags.contains(tag) }
                            .map { (name: ImageStore.familiar(tag), from: $0.id) }
                    }
                    let image = try await register(record)
                    loaded.append(Loaded(image: image, names: record.tags.map(ImageStore.familiar), moved: moved))
                }
                try await threads.run { try FileContents.removeTree(folder) }
                return loaded
            } catch {
                try? await threads.run { try FileContents.removeTree(folder) }  // the first error is the one that tells
                throw error
            }
        }
    }
}

/// Reads `docker save` archives and OCI layouts. Blocking.
struct ArchiveLoader {
    let content: ContentStore

    func load(_ descriptor: Int32, in folder: String, _ progress: (JSON) -> Void) throws -> [ImageRecord] {
        try FileContents.makeDirectories(folder)
        let directory = try OwnedDescriptor.open(folder, O_RDONLY | CL_O_DIRECTORY)
        let reader = try ArchiveReader(descriptor: descriptor, limit: content.layerLimit)
        var unpacker = LayerUnpacker(folder: directory, keepsOwners: false, hasWhiteouts: false)
        try unpacker.unpack(reader)
        if content.has(folder + "/manifest.json") { return try loadDocker(folder, progress) }
        if content.has(folder + "/index.json") { return try loadLayout(folder, progress) }
        throw SkalaError(
            .invalid, "the archive is neither of docker save nor an OCI layout: it has no manifest.json or index.json")
    }

    /// Opens a file the archive names: below the folder, and a file. A pipe would not end, a device hold anything.
    private func open(_ name: String, in folder: String) throws -> OwnedDescriptor {
        let root = try OwnedDescriptor.open(folder, CL_O_PATH | CL_O_DIRECTORY)
        let flags = UInt64(RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS)
        let found = cl_openat2(root.raw, name, UInt64(O_RDONLY | O_NONBLOCK), 0, flags)
        guard found >= 0 else { throw SkalaError(.invalid, "the archive lacks '\(name)'") }
        let file = OwnedDescriptor(found)
        var status = stat()
        guard fstat(file.raw, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
            throw SkalaError(.invalid, "'\(name)' of the archive is no file")
        }
        return file
    }

    /// The document in such a file.
    private func json(_ name: String, in folder: String) throws -> JSON {
        let file = try open(name, in: folder)
        return try JSON(parsing: FileContents.read("/proc/self/fd/\(file.raw)", limit: 8 << 20))
    }

    /// A copy of such a file, beside what was unpacked: it goes with that, unless it is adopted.
    private func file(_ name: String, in folder: String) throws -> String {
        let file = try open(name, in: folder)
        // Old archives link equal layers to each other: the copy is what the link leads to.
        let copy = folder + "/" + Identifier.make()
        let output = try OwnedDescriptor.open(copy, O_WRONLY | O_CREAT | O_EXCL)
        while true {
            let count = cl_copy_file_range(file.raw, output.raw, 1 << 30)
            guard count >= 0 else { throw KernelError("copy", name, errno: Int32(-count)) }
            if count == 0 { return copy }
        }
    }

    private func loadDocker(_ folder: String, _ progress: (JSON) -> Void) throws -> [ImageRecord] {
        let manifest = try json("manifest.json", in: folder)
        return try (manifest.array ?? []).map { entry in
            guard let configName = entry["Config"].string, let names = entry["Layers"].strings else {
                throw SkalaError(.invalid, "the archive's manifest.json has no configuration or layers")
            }
            let (id, _) = try content.adopt(file: file(configName, in: folder))
            var layers: [ImageRecord.Layer] = []
            for name in names {
                let (digest, size) = try content.adopt(file: file(name, in: folder))
                layers.append(ImageRecord.Layer(digest: digest, size: size, mediaType: MediaType.dockerLayer))
            }
            let tags = try (entry["RepoTags"].strings ?? []).map { ImageStore.full(try Reference(parsing: $0)) }
            return try finish(id: id, layers: layers, tags: tags, repoDigests: [], progress)
        }
    }

    private func loadLayout(_ folder: String, _ progress: (JSON) -> Void) throws -> [ImageRecord] {
        let index = try json("index.json", in: folder)
        var records: [ImageRecord] = []
        for descriptor in index["manifests"].array ?? [] {
            let annotations = descriptor["annotations"]
            let name =
                annotations["io.containerd.image.name"].string
                ?? annotations["org.opencontainers.image.ref.name"].string
            let tag = try name.flatMap { $0.isEmpty ? nil : ImageStore.full(try Reference(parsing: $0)) }
            var manifest = try document(descriptor, in: folder)
            if let nested = manifest["manifests"].array {
                guard let chosen = Platform(machine: HostFacts.architecture).choose(from: nested) else { continue }
                manifest = try document(chosen, in: folder)
            }
            let (id, _) = try content.adopt(file: blob(manifest["config"], in: folder))
            var layers: [ImageRecord.Layer] = []
            for layer in manifest["layers"].array ?? [] {
                let (digest, size) = try content.adopt(file: blob(layer, in: folder))
                layers.append(ImageRecord.Layer(digest: digest, size: size, mediaType: layer["mediaType"].string ?? ""))
            }
            records.append(try finish(id: id, layers: layers, tags: tag.map { [$0] } ?? [], repoDigests: [], progress))
        }
        guard !records.isEmpty else { throw SkalaError(.invalid, "the OCI layout has no image for this platform") }
        return records
    }

    private func blob(_ descriptor: JSON, in folder: String) throws -> String {
        guard let digest = descriptor["digest"].string, Digest.isValid(digest) else {
            throw SkalaError(.invalid, "the OCI layout has a descriptor without a valid digest")
        }
        let path = try file("blobs/sha256/" + Digest.hexadecimal(digest), in: folder)
        let bytes = try SHA256Check.digest(ofFile: path)
        guard bytes == digest else {
            throw SkalaError(.invalid, "blob \(digest) of the OCI layout has the digest \(bytes)")
        }
        return path
    }

    private func document(_ descriptor: JSON, in folder: String) throws -> JSON {
        let path = try blob(descriptor, in: folder)
        defer { unlink(path) }
        return try JSON(parsing: FileContents.read(path, limit: 8 << 20))
    }

    /// Unpacks the layers and makes the record.
    func finish(
        id: String, layers: [ImageRecord.Layer], tags: [String], repoDigests: [String], _ progress: (JSON) -> Void
    ) throws -> ImageRecord {
        let config = try content.document(id)
        guard let diffIDs = config["rootfs"]["diff_ids"].strings, diffIDs.count == layers.count,
            diffIDs.allSatisfy(Digest.isValid)
        else { throw SkalaError(.invalid, "the image's configuration does not fit its layers") }
        var size: Int64 = 0
        for (layer, diffID) in zip(layers, diffIDs) {
            size += try content.unpack(blob: layer.digest, diffID: diffID)
            progress(["status": "Loaded layer", "id": JSON(Identifier.short(Digest.hexadecimal(diffID)))])
        }
        return ImageRecord(id: id, tags: tags.sorted(), repoDigests: repoDigests, layers: layers, size: size)
    }
}

/// The digest of a whole file.
enum SHA256Check {
    static func digest(ofFile path: String) throws -> String {
        let hash = try SHA256()
        let descriptor = try OwnedDescriptor.open(path, O_RDONLY)
        var buffer = [UInt8](repeating: 0, count: 1 << 20)
        while true {
            let count = try checkErrno(read(descriptor.raw, &buffer, buffer.count), "read", path)
            if count == 0 { return hash.digest() }
            buffer.withUnsafeBytes { hash.update(UnsafeRawBufferPointer(rebasing: $0[0..<count])) }
        }
    }
}
