import Base
import CLinux
import Glibc
public import Images
import Kernel
public import OCI

extension Container {
    /// Runs `body` with a descriptor of the container's root folder, volumes included, on a thread that may block.
    ///
    /// The warden holds a mount namespace with these files while `body` runs: a running container's own would show
    /// /proc, /sys and /dev, which are the kernel's and not the container's.
    public func withFiles<Value: Sendable>(_ body: @escaping @Sendable (Int32) throws -> Value) async throws -> Value {
        try requireFilesOnHost()
        if record.state.isAlive { return try await holding(["container": JSON(id)], body) }
        return try await lifecycle.withLock {
            if record.state.isAlive { return try await holding(["container": JSON(id)], body) }
            let image = try await engine.images.find(record.imageID)
            let rootfs: JSON = [
                "lower": JSON(await engine.images.layerPaths(of: image)), "upper": JSON(directory + "/upper"),
                "work": JSON(directory + "/work"),
            ]
            return try await holding(["rootfs": rootfs], body)
        }
    }

    private func holding<Value: Sendable>(
        _ root: JSON, _ body: @escaping @Sendable (Int32) throws -> Value
    ) async throws -> Value {
        // Several may read a running container's files at once.
        let hold = JSON(Identifier.make())
        var request = root
        request["id"] = hold
        request["mounts"] = JSON(fileMounts)
        let answer = try await engine.warden.request("hold", request)
        let result: Result<Value, any Error>
        do {
            result = .success(try await withRoot(of: Int32(clamping: answer["pid"].int ?? 0), body))
        } catch { result = .failure(error) }
        try await engine.warden.request("release", ["id": hold])
        return try result.get()
    }

    /// Volumes, binds, and the files in /etc that are made for it.
    private var fileMounts: [JSON] {
        var mounts = record.mounts.filter { $0.type != "tmpfs" }.map { mount -> JSON in
            [
                "type": "bind", "source": JSON(mount.source), "destination": JSON(mount.destination),
                "options": ["rbind", "rprivate", mount.isReadOnly ? "ro" : "rw"],
            ]
        }
        for name in ["resolv.conf", "hostname", "hosts"] where access(directory + "/" + name, F_OK) == 0 {
            let destination = "/etc/" + name
            guard !record.mounts.contains(where: { $0.destination == destination }) else { continue }
            mounts.append([
                "type": "bind", "source": JSON(directory + "/" + name), "destination": JSON(destination),
                "options": ["rbind", "rprivate"],
            ])
        }
        return mounts
    }

    private func requireFilesOnHost() throws(SkalaError) {
        guard record.isolation == .container else {
            throw SkalaError(
                .unsupported, "the files of a container in a VM cannot be copied, compared or committed yet")
        }
    }

    private func withRoot<Value: Sendable>(
        of pid: Int32, _ body: @escaping @Sendable (Int32) throws -> Value
    ) async throws -> Value {
        let root = try OwnedDescriptor.open("/proc/\(pid)/root", CL_O_PATH | CL_O_DIRECTORY)
        return try await engine.threads.run {
            defer { root.close() }
            return try body(root.raw)
        }
    }

    /// Announces a copy in or out.
    public func copied(_ action: String, _ path: String) { publish(action, ["path": path]) }

    /// What differs from the image: kind 0 changed, 1 added, 2 deleted.
    public func changes() async throws -> [(path: String, kind: Int)] {
        try requireFilesOnHost()
        let image = try await engine.images.find(record.imageID)
        let layers = await engine.images.layerPaths(of: image)
        let upper = directory + "/upper"
        let found = try await engine.threads.run { try LayerChanges.changes(upper: upper, lower: layers) }
        // The folders and files we bind things over are none of the container's changes.
        let ours = Set(
            record.mounts.map(\.destination) + [
                "/dev", "/proc", "/sys", "/etc/resolv.conf", "/etc/hosts", "/etc/hostname",
            ])
        return found.filter { !ours.contains($0.path) }
    }

    /// Makes an image of the container's file system and configuration.
    ///
    /// - Parameter changes: Dockerfile instructions (`CMD`, `ENV`, …) applied to the configuration.
    public func commit(
        reference: Reference?, author: String, comment: String, changes: [String], pause: Bool
    ) async throws -> Image {
        try requireFilesOnHost()
        let pauses = pause && record.state.status == .running
        if pauses { try await self.pause() }
        let result: Result<Image, any Error>
        do {
            var config = record.config
            for key in ["Hostname", "Domainname", "AttachStdin", "AttachStdout", "AttachStderr", "MacAddress"] {
                config[key] = .null
            }
            config = try ConfigChange.apply(changes, to: config)
            let base = try await engine.images.find(record.imageID)
            result = .success(
                try await engine.images.commit(
                    layerFrom: directory + "/upper", on: base, config: config, reference: reference, author: author,
                    comment: comment))
        } catch { result = .failure(error) }
        if pauses { try await unpause() }
        let image = try result.get()
        publish("commit", ["comment": comment, "imageID": image.id])
        return image
    }
}
