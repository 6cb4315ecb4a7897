import Archives
import Base
import CLinux
import Glibc
import Kernel
import OCI
import CCurl
import CCrypto
import CArchive

/// Blobs by digest, and unpacked layers by the digest of their uncompressed data. Blocking.
///
///     blobs/sha256/HEX    manifests, configurations, layers as they came
///     layers/HEX          unpacked, as overlayfs takes them
///     incoming/           whatever is being made; emptied at the start
struct ContentStore: Sendable {
    let root: String
    /// Uncompressed bytes one layer may have.
    let layerLimit: Int64 = 64 << 30

    init(root: String) throws {
        self.root = root
        for folder in ["blobs/sha256", "layers", "incoming"] {
            try FileContents.makeDirectories("\(root)/\(folder)", mode: 0o711)
        }
        for name in try FileContents.names(in: root + "/incoming") {
            try FileContents.removeTree("\(root)/incoming/\(name)")
        }
    }

    func blobPath(_ digest: String) -> String { "\(root)/blobs/sha256/\(Digest.hexadecimal(digest))" }
    func layerPath(_ diffID: String) -> String { "\(root)/layers/\(Digest.hexadecimal(diffID))" }
    /// A new name below `incoming`.
    func temporaryPath() -> String { "\(root)/incoming/\(Identifier.short(Identifier.make()))" }

    func has(_ path: String) -> Bool { access(path, F_OK) == 0 }

    /// Keeps a small document.
    func put(_ bytes: [UInt8]) throws -> String {
        let digest = try SHA256.digest(of: bytes)
        if !has(blobPath(digest)) { try FileContents.replace(blobPath(digest), with: bytes) }
        return digest
    }

    /// Reads a small document.
    ///
    /// - Throws: `.notFound` when it is not here.
    func document(_ digest: String) throws -> JSON {
        do {
            return try JSON(parsing: FileContents.read(blobPath(digest), limit: 8 << 20))
        } catch let error as KernelError { throw error.asSkalaError }
    }

    /// Computes the digest of a file and moves it to the blobs.
    func adopt(file: String) throws -> (digest: String, size: Int64) {
        let digest = try SHA256Check.digest(ofFile: file)
        var status = stat()
        try checkErrno(stat(file, &status), "stat", file)
        try checkErrno(rename(file, blobPath(digest)), "rename", file)
        return (digest, Int64(status.st_size))
    }

    /// Unpacks a blob, unless that is done already.
    ///
    /// - Parameter diffID: what the configuration says the uncompressed data's digest is.
    /// - Throws: `.invalid` when it is something else, or the archive is damaged or hostile. Nothing is left behind then.
    /// - Returns: the size of the uncompressed data.
    func unpack(blob digest: String, diffID: String) throws -> Int64 {
        let target = layerPath(diffID)
        if has(target) { return try DiskUsage.bytes(below: target) }
        let temporary = temporaryPath()
        do {
            try FileContents.makeDirectories(temporary)
            let file = try OwnedDescriptor.open(blobPath(digest), O_RDONLY)
            let reader = try ArchiveReader(descriptor: file.raw, limit: layerLimit)
            let folder = try OwnedDescriptor.open(temporary, O_RDONLY | CL_O_DIRECTORY)
            var unpacker = LayerUnpacker(folder: folder)
            try unpacker.unpack(reader)
            let found = try reader.finish()
            guard found.digest == diffID else {
                throw SkalaError(
                    .invalid, "layer \(digest) has the wrong content: \(found.digest) instead of \(diffID)")
            }
            if rename(temporary, target) != 0, errno != EEXIST, errno != ENOTEMPTY {
                throw KernelError("rename", target, errno: errno)
            }
            try FileContents.removeTree(temporary)
            return try DiskUsage.bytes(below: target)
        } catch {
            try? FileContents.removeTree(temporary)  // the first error is the one that tells
            throw (error as? KernelError)?.asSkalaError ?? error
        }
    }

    /// Removes blobs and layers that are not named.
    ///
    /// - Returns: the bytes freed.
    func collect(keepingBlobs blobs: Set<String>, layers: Set<String>) throws -> Int64 {
        var freed: Int64 = 0
        let keptBlobs = Set(blobs.map(Digest.hexadecimal))
        for name in try FileContents.names(in: root + "/blobs/sha256") where !keptBlobs.contains(name) {
            var status = stat()
            if stat("\(root)/blobs/sha256/\(name)", &status) == 0 { freed += Int64(status.st_size) }
            unlink("\(root)/blobs/sha256/\(name)")
        }
        let keptLayers = Set(layers.map(Digest.hexadecimal))
        for name in try FileContents.names(in: root + "/layers") where !keptLayers.contains(name) {
            let path = "\(root)/layers/\(name)"
            freed += try DiskUsage.bytes(below: path)
            // Renamed first: a kill in the middle must not leave half a layer under its name.
            let temporary = temporaryPath()
            try checkErrno(rename(path, temporary), "rename", path)
            try FileContents.removeTree(temporary)
        }
        return freed
    }
}
