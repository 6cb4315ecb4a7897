import Archives
public import Base
import CLinux
import Glibc
public import Images
public import Kernel
public import OCI

/// Copying, comparing and committing files. Each is done by the same code (Archives): here for a container on this kernel,
/// by the warden in its VM for one that has its own: what a VM wrote on its disk is not looked at from here.
extension Container {
    /// What the API's header `X-Docker-Container-Path-Stat` tells of a path.
    ///
    /// - Throws: `.notFound`.
    public func fileStatus(_ path: String) async throws -> JSON {
        try await reachingFiles { site in
            switch site {
            case .process(let pid): try await onHost(pid) { try ContainerFiles.stat(path, in: $0) }
            case .machine(let machine, let hold):
                try await helper(machine).document("stat", fields(hold, path), limit: 16 << 10)
            }
        }
    }

    /// Writes a file or folder as a tar archive; closes nothing.
    public func pack(_ path: String, to output: Int32) async throws {
        try await reachingFiles { site in
            switch site {
            case .process(let pid): try await onHost(pid) { try ContainerFiles.pack(path, in: $0, to: output) }
            case .machine(let machine, let hold):
                try await helper(machine).archive("pack", fields(hold, path), to: output)
            }
        }
        publish("archive-path", ["path": path])
    }

    /// Unpacks a tar archive of any form into a folder that exists.
    ///
    /// - Parameter replacesDirectories: false refuses to put a file in a folder's place and the reverse.
    public func unpack(_ path: String, from input: OwnedDescriptor, replacesDirectories: Bool) async throws {
        try await reachingFiles { site in
            switch site {
            case .process(let pid):
                try await onHost(pid) {
                    try AnyArchive.unpack(
                        from: input.raw, into: $0, path: path, replacesDirectories: replacesDirectories)
                }
            case .machine(let machine, let hold):
                var fields = fields(hold, path)
                fields["replaces"] = JSON(replacesDirectories)
                // For a stopped container it has to be there even if the VM is taken away at once.
                fields["sync"] = JSON(hold == id)
                try await helper(machine).unpack("unpack", fields, from: input.raw)
            }
        }
        publish("extract-to-dir", ["path": path])
    }

    /// Writes the whole file system as a tar archive; closes nothing.
    public func export(to output: Int32) async throws {
        try await reachingFiles { site in
            switch site {
            case .process(let pid): try await onHost(pid) { try ContainerFiles.exportTree($0, to: output) }
            case .machine(let machine, let hold):
                try await helper(machine).archive("export", ["id": JSON(hold)], to: output)
            }
        }
        publish("export", ["path": "/"])
    }

    private func onHost<Value: Sendable>(
        _ pid: Int32, _ body: @escaping @Sendable (Int32) throws -> Value
    ) async throws -> Value {
        let root = try OwnedDescriptor.open("/proc/\(pid)/root", CL_O_PATH | CL_O_DIRECTORY)
        // Its own: it goes as fast as its client, and must not keep others from theirs.
        return try await WorkerThreads(limit: 2).run {
            defer { root.close() }
            return try body(root.raw)
        }
    }

    func helper(_ machine: VirtualMachine) -> GuestHelper {
        GuestHelper(machine: machine, threads: WorkerThreads(limit: 4))
    }

    private func fields(_ hold: String, _ path: String) -> JSON { ["id": JSON(hold), "path": JSON(path)] }

    // MARK: changes

    /// Bytes that a VM's list of changes may have.
    private static let changesLimit = 256 << 20

    /// What differs from the image: kind 0 changed, 1 added, 2 deleted.
    public func changes() async throws -> [(path: String, kind: Int)] {
        try requireWarden("comparing files")
        let found = !record.isolation.hasOwnWarden ? try await changesOnHost() : try await changesInMachine()
        // The folders and files we bind things over are none of the container's changes.
        let ours = Set(
            record.mounts.map(\.destination) + [
                "/dev", "/proc", "/sys", "/etc/resolv.conf", "/etc/hosts", "/etc/hostname",
            ])
        return found.filter { !ours.contains($0.path) }
    }

    private func changesOnHost() async throws -> [(path: String, kind: Int)] {
        let image = try await engine.images.find(record.imageID)
        let layers = await engine.images.layerPaths(of: image)
        let upper = directory + "/upper"
        return try await engine.threads.run { try LayerChanges.changes(upper: upper, lower: layers) }
    }

    private func changesInMachine() async throws -> [(path: String, kind: Int)] {
        let list = try await reachingMachine { machine in
            try await helper(machine).document(
                "changes", ["rootfs": guestRootFileSystem], limit: Container.changesLimit)
        }
        return try (list.array ?? []).map { change in
            guard let path = change[0].string, let kind = change[1].int, (0...2).contains(kind) else {
                throw SkalaError(.invalid, "the VM lists a change that is none")
            }
            return (path, Int(kind))
        }
    }

    // MARK: commit

    /// Makes an image of the container's file system and configuration.
    ///
    /// - Parameter changes: Dockerfile instructions (`CMD`, `ENV`, …) applied to the configuration.
    public func commit(
        reference: Reference?, author: String, comment: String, changes: [String], pause: Bool
    ) async throws -> Image {
        let pauses = pause && record.state.status == .running && record.isolation != .machine
        if pauses { try await setStill(true) }
        let result: Result<Image, any Error>
        do {
            var config = record.config
            for key in ["Hostname", "Domainname", "AttachStdin", "AttachStdout", "AttachStderr", "MacAddress"] {
                config[key] = .null
            }
            config = try ConfigChange.apply(changes, to: config)
            if record.isolation == .machine {
                let image = try await commitDisk(reference: reference, author: author, comment: comment, config: config)
                publish("commit", ["comment": comment, "imageID": image.id])
                return image
            }
            let base = try await engine.images.find(record.imageID)
            result = .success(
                try await engine.images.commit(
                    on: base, config: config, reference: reference, author: author, comment: comment
                ) { try await self.writeLayer(to: $0.raw) })
        } catch { result = .failure(error) }
        if pauses { try await setStill(false) }
        let image = try result.get()
        publish("commit", ["comment": comment, "imageID": image.id])
        return image
    }

    /// Stops the container's processes for a moment, or lets them go on; a VM itself goes on, since it has to be read.
    private func setStill(_ isStill: Bool) async throws {
        guard record.isolation.hasOwnWarden else { return isStill ? try await pause() : try await unpause() }
        try await sandbox.request(isStill ? "pause" : "resume", ["id": JSON(id)])
        publish(isStill ? "pause" : "unpause")
    }

    private func writeLayer(to output: Int32) async throws {
        guard !record.isolation.hasOwnWarden else {
            return try await reachingMachine { machine in
                // Holes are written as zeros: a layer may be larger than the disk, but not by any amount.
                try await helper(machine).archive(
                    "layer", ["rootfs": guestRootFileSystem], to: output, limit: 4 * VirtualMachines.diskBytes)
            }
        }
        let upper = directory + "/upper"
        try await engine.threads.run { try ContainerFiles.writeLayer(upper, to: output) }
    }
}
