import Base
import CLinux
import Glibc
import Images
import Kernel

extension Containers {
    func prepareFolders(_ id: String) async throws {
        let directory = engine.configuration.containerDirectory(id)
        try await engine.threads.run {
            for (path, mode) in [
                (directory, UInt32(0o710)), (directory + "/upper", 0o755), (directory + "/work", 0o711),
            ] {
                try FileContents.makeDirectories(path, mode: mode)
            }
        }
    }

    /// Undoes a creation that failed half-way.
    func discard(_ id: String) async {
        await engine.volumes.release(holder: id)
        let directory = engine.configuration.containerDirectory(id)
        do {
            try await engine.threads.run { try FileContents.removeTree(directory) }
        } catch { engine.log.error("cannot remove \(directory)", ["error": "\(error)"]) }
    }

    /// Makes volumes that are missing, and fills in where each mount comes from.
    func resolveMounts(of record: ContainerRecord) async throws -> [ContainerRecord.Mount] {
        var mounts = try MountParser(host: record.hostConfig, config: record.config).mounts
        for source in record.hostConfig["VolumesFrom"].strings ?? [] {
            let parts = source.split(separator: ":", maxSplits: 1).map(String.init)
            // Not as `.notFound`: clients take that for the image, and pull it.
            guard let other = try? await find(parts[0]).snapshot else {
                throw SkalaError(.invalid, "No such container: \(parts[0])")
            }
            for var mount in other.mounts where mount.type != "tmpfs" {
                guard !mounts.contains(where: { $0.destination == mount.destination }) else { continue }
                if parts.count == 2, parts[1] == "ro" { mount.isReadOnly = true }
                mount.isAnonymous = false
                mounts.append(mount)
            }
        }
        if record.isolation.hasOwnWarden { try MachineLimits.check(mounts, record.isolation) }
        for index in mounts.indices where mounts[index].type == "volume" {
            let volume = try await engine.volumes.create(name: mounts[index].name)
            mounts[index].name = volume.name
            mounts[index].source = volume.mountpoint
            await engine.volumes.retain(volume.name, holder: record.id)
            if mounts[index].copiesUp { try await copyUp(record, into: volume, from: mounts[index].destination) }
        }
        return mounts
    }

    /// Copies what the image has at `path` into a volume that is still empty.
    ///
    /// The topmost layer that has the folder is looked at first; files of lower layers are added where they are not
    /// hidden by a whiteout. Links are resolved inside each layer, so that nothing outside the image is reached.
    private func copyUp(_ record: ContainerRecord, into volume: Volume, from path: String) async throws {
        let image = try await engine.images.find(record.imageID)
        let layers = await engine.images.layerPaths(of: image)
        let target = volume.mountpoint
        try await engine.threads.run { try CopyUp(layers: layers, path: path).copy(into: target) }
    }
}
