public import Base
import CLinux
import Glibc
public import Images
public import Kernel
import OCI
import Synchronization

/// Builds images with buildah, which has a store of its own for the build cache; base images go there from ours, and the
/// result comes back.
public final class ImageBuilder: Sendable {
    private static let program = "/usr/bin/buildah"

    private let root: String
    private let images: ImageStore
    private let threads = WorkerThreads(limit: 8)

    init(root: String, images: ImageStore) throws {
        self.root = root
        self.images = images
        try FileContents.makeDirectories(root, mode: 0o700)
        // Contexts that a killed daemon left.
        for name in try FileContents.names(in: root) where name.hasPrefix("context-") {
            try FileContents.removeTree(root + "/" + name)
        }
    }

    /// Builds an image from a context.
    ///
    /// - Parameters:
    ///   - context: a tar archive, compressed or not, read to its end.
    ///   - progress: gets Docker's messages: `stream` with text, `aux` with the image's id.
    /// - Throws: `.unavailable` without buildah; `.invalid` for a bad context; `.system` when an instruction fails.
    public func build(
        _ request: BuildRequest, context: OwnedDescriptor, progress: @escaping @Sendable (JSON) -> Void
    ) async throws -> Image {
        guard access(ImageBuilder.program, X_OK) == 0 else {
            throw SkalaError(.unavailable, "building images needs buildah: install the package buildah")
        }
        let folder = "\(root)/context-\(Identifier.short(Identifier.make()))"
        let outcome: Result<Image, any Error>
        do {
            outcome = .success(try await build(request, context, in: folder, progress))
        } catch { outcome = .failure(error) }
        try await threads.run { try FileContents.removeTree(folder) }
        return try outcome.get()
    }

    private func build(
        _ request: BuildRequest, _ context: OwnedDescriptor, in folder: String,
        _ progress: @escaping @Sendable (JSON) -> Void
    ) async throws -> Image {
        let text = try await threads.run {
            try FileContents.makeDirectories(folder + "/files", mode: 0o755)
            let files = try OwnedDescriptor.open(folder + "/files", CL_O_PATH | CL_O_DIRECTORY)
            try AnyArchive.unpack(from: context.raw, into: files.raw, path: "/", replacesDirectories: true)
            do {
                return try FileContents.read(request.dockerfile, inRoot: folder + "/files")
            } catch {
                throw SkalaError(
                    .invalid, "failed to read dockerfile: \(request.dockerfile) is not in the build context",
                    cause: error)
            }
        }
        for name in Dockerfile.images(String(decoding: text, as: UTF8.self), arguments: request.arguments) {
            try await provide(name, request, in: folder, progress)
        }
        let identity = folder + "/image.id"
        try await run(arguments(request, identity: identity, folder: folder)) { message in
            // The image's id alone on the last line tells the user nothing yet: ours comes when it is loaded.
            if message["stream"].string?.count != 65 { progress(message) }
        }
        let id = try await threads.run { String(decoding: try FileContents.read(identity), as: UTF8.self) }
        // Without a name: the names are given in our own store. The layers stay as the build's cache.
        let archive = folder + "/image.tar"
        try await run(["push", "--quiet", id, "docker-archive:" + archive]) { _ in }
        let file = try OwnedDescriptor.open(archive, O_RDONLY)
        guard let image = try await images.load(from: file, progress: { _ in }).first?.image else {
            throw SkalaError(.system, "buildah wrote no image")
        }
        for tag in request.tags { try await images.tag(image.id, as: tag.familiar) }
        return try await images.find(image.id)
    }

    private func arguments(_ request: BuildRequest, identity: String, folder: String) -> [String] {
        var arguments = [
            "build", "--isolation", "chroot", "--pull-never", "--format", "docker", "--file",
            folder + "/files/" + request.dockerfile, "--iidfile", identity,
        ]
        // buildah does not squash what it finds in the cache as a whole.
        let usesCache = request.usesCache && !request.squashes
        arguments += usesCache ? ["--layers"] : ["--no-cache", "--layers=false"]
        for (key, value) in request.arguments.sorted(by: { $0.key < $1.key }) {
            arguments += ["--build-arg", "\(key)=\(value)"]
        }
        for (key, value) in request.labels.sorted(by: { $0.key < $1.key }) {
            arguments += ["--label", "\(key)=\(value)"]
        }
        for host in request.extraHosts { arguments += ["--add-host", host] }
        if !request.target.isEmpty { arguments += ["--target", request.target] }
        if request.network == "none" { arguments += ["--network", "none"] }
        if let platform = request.platform { arguments += ["--platform", platform.text] }
        for limit in request.ulimits { arguments += ["--ulimit", limit] }
        if request.squashes { arguments.append("--squash") }
        return arguments + [folder + "/files"]
    }

    /// Puts a base image into buildah's store: ours, or one that is pulled now.
    private func provide(
        _ name: String, _ request: BuildRequest, in folder: String, _ progress: @escaping @Sendable (JSON) -> Void
    ) async throws {
        let reference = try Reference(parsing: name)
        // Not here: pulled. Of another platform than is asked for: that was asked for at another time.
        let local = request.pullsAlways ? nil : try? await images.find(name)
        let image: Image
        if let local,
            request.platform?.fits(os: local.os, architecture: local.architecture, variant: local.variant) ?? true
        {
            image = local
        } else {
            image = try await images.pull(
                reference, platform: request.platform?.text, credentials: request.credentials[reference.domain],
                progress: progress)
        }
        let archive = folder + "/base.tar"
        let id = String(image.id.dropFirst("sha256:".count))
        let known = Mutex("")
        try await run(["images", "--quiet", "--no-trunc"]) { message in
            known.withLock { $0 += message["stream"].string ?? "" }
        }
        if !known.withLock({ $0.contains(id) }) {
            let output = try OwnedDescriptor.open(archive, O_WRONLY | O_CREAT | O_TRUNC)
            try await images.save([image.id], to: output.raw)
            try await run(["pull", "--quiet", "docker-archive:" + archive]) { _ in }
            unlink(archive)
        }
        // Under the name the Dockerfile uses: what was of that name before may be older.
        let full = reference.repository + ":" + (reference.tag ?? "latest")
        try await run(["tag", id, full]) { _ in }
    }

    /// Runs buildah; every line it prints is a `stream` message.
    private func run(_ arguments: [String], _ progress: @escaping @Sendable (JSON) -> Void) async throws {
        let command =
            [ImageBuilder.program, "--root", root + "/storage", "--runroot", root + "/run"] + arguments
        let cancellation = Cancellation()
        try await withTaskCancellationHandler {
            try await threads.run {
                var rest: [UInt8] = []
                var last = ""
                let status = try Subprocess.stream(command, isCancelled: { cancellation.isCancelled }) { bytes in
                    rest += bytes
                    while let end = rest.firstIndex(of: 0x0A) {
                        let line = String(decoding: rest[...end], as: UTF8.self)
                        rest.removeFirst(end + 1)
                        if line.count > 1 { last = String(line.dropLast()) }
                        progress(["stream": JSON(line)])
                    }
                }
                if !rest.isEmpty {
                    last = String(decoding: rest, as: UTF8.self)
                    progress(["stream": JSON(last)])
                }
                if cancellation.isCancelled { throw SkalaError(.cancelled, "the build was cancelled") }
                guard status == 0 else {
                    throw SkalaError(.system, last.isEmpty ? "buildah ended with status \(status)" : last)
                }
            }
        } onCancel: {
            cancellation.cancel()
        }
    }

    // MARK: cache

    /// The bytes the build cache takes.
    public func cacheBytes() async throws -> Int64 {
        let storage = root + "/storage"
        guard access(storage, F_OK) == 0 else { return 0 }
        return try await threads.run { try DiskUsage.bytes(below: storage) }
    }

    /// Empties the build cache.
    ///
    /// - Returns: the bytes freed.
    public func prune() async throws -> Int64 {
        let before = try await cacheBytes()
        guard before > 0, access(ImageBuilder.program, X_OK) == 0 else { return 0 }
        try await run(["rmi", "--all", "--force"]) { _ in }
        return max(0, before - (try await cacheBytes()))
    }
}
