import Archives
import Base
import Glibc
import Images
import Kernel
import Machines

extension Container {
    /// Makes the instance one of another isolation; id, name, addresses, volumes, ports and what it wrote stay. One that runs
    /// is stopped meanwhile.
    ///
    /// The files are there in the new form before the record changes, and in the old form until then: killed at any moment,
    /// the instance is whole, and what does not count is removed when the daemon starts next.
    ///
    /// - Throws: `.conflict` when it is of that isolation; `.invalid` when it has options that are impossible there.
    public func convert(to target: Isolation, report: ProgressReport) async throws {
        try await lifecycle.withLock {
            try checkCanBeCaptured()
            try checkConversion(to: target)
            let runs = record.state.isAlive || record.state.status == .restarting
            if runs {
                report("Stopping \(record.name)")
                try await stopLocked(timeout: nil, signal: nil)
            }
            await exitCleanUp?.value
            do {
                try await closeFiles()
                report("Converting the files of \(record.name)")
                if target == .container { try await moveFilesToHost() } else { try await moveFilesToDisk() }
                try Container.checkNotCancelled()
                try await setIsolation(target)
            } catch {
                await removeHalfMade()
                if runs { await startAgain() }
                throw error
            }
            await removeHalfMade()
            publish("convert", ["isolation": target.rawValue])
            if runs {
                report("Starting \(record.name)")
                record.hasBeenManuallyStopped = false
                try await startLocked()
            }
        }
    }

    private func checkConversion(to target: Isolation) throws {
        guard target != record.isolation else {
            throw SkalaError(.conflict, "container \(record.name) is at isolation \(target.rawValue) already")
        }
        guard [.container, .microvm].contains(target) else {
            throw SkalaError(.unsupported, "a conversion to isolation \(target.rawValue) is not there yet")
        }
        try MachineLimits.checkAnnotations(record.hostConfig, hasMachine: target == .microvm)
        try MachineLimits.checkStorage(record.hostConfig, hasDisk: target == .microvm)
        guard target == .microvm else { return }
        try MachineLimits.check(record.config, record.hostConfig, target)
        try MachineLimits.check(record.mounts, target)
        guard record.networks.keys.count <= MachineCommand.maximumCards else {
            throw MachineLimits.refused(
                "a further network", "its VM has \(MachineCommand.maximumCards) network cards", target)
        }
    }

    private func setIsolation(_ target: Isolation) async throws {
        let before = record.hostConfig
        record.hostConfig["Runtime"] = JSON(target.rawValue)
        if !["", "default"].contains(before["Isolation"].string ?? "") { record.hostConfig["Isolation"] = "" }
        do { try await persist() } catch {
            record.hostConfig = before
            throw error
        }
    }

    private func startAgain() async {
        record.hasBeenManuallyStopped = false
        do { try await startLocked() } catch { engine.log.error("cannot start container \(id) again: \(error)") }
    }

    /// Bytes of an archive of all that was written: holes are written as zeros.
    private static let archiveLimit = 4 * VirtualMachines.diskBytes

    /// From the VM's disk, which the host does not mount: its own warden reads it. What comes is a stranger's layer.
    private func moveFilesToHost() async throws {
        guard access(diskPath, F_OK) == 0 else { return }
        let machine = try await startDiskMachine()
        let target = directory + "/upper"
        let result: Result<Void, any Error>
        do {
            let (read, write) = try Pipe.make()
            // Of its own threads: both ends of a pipe must not wait for a place.
            async let unpacked: Void = WorkerThreads(limit: 1).run {
                defer { read.close() }
                let folder = try OwnedDescriptor.open(target, O_RDONLY)
                try AnyArchive.unpackLayer(from: read.raw, into: folder, limit: Container.archiveLimit)
            }
            let sent: Result<Void, any Error>
            do {
                sent = .success(
                    try await helper(machine).archive(
                        "layer", ["rootfs": guestRootFileSystem], to: write.raw, limit: Container.archiveLimit))
            } catch { sent = .failure(error) }
            write.close()
            // Who gave up first knows why: the one that unpacks, if the pipe broke.
            try await unpacked
            result = sent
        } catch { result = .failure(error) }
        await end(machine, keepsDisk: true)
        try result.get()
    }

    /// To a new disk, which a VM's warden writes.
    private func moveFilesToDisk() async throws {
        let source = directory + "/upper"
        let machine = try await startDiskMachine()
        let result: Result<Void, any Error>
        do {
            let (read, write) = try Pipe.make()
            async let packed: Void = WorkerThreads(limit: 1).run {
                defer { write.close() }
                try ContainerFiles.writeLayer(source, to: write.raw)
            }
            let sent: Result<Void, any Error>
            do {
                sent = .success(
                    try await helper(machine).unpack(
                        "apply", ["rootfs": guestRootFileSystem], from: read.raw))
            } catch { sent = .failure(error) }
            read.close()
            let written: Result<Void, any Error>
            do { written = .success(try await packed) } catch { written = .failure(error) }
            try sent.get()
            try written.get()
            result = .success(())
        } catch { result = .failure(error) }
        await end(machine, keepsDisk: true)
        try result.get()
    }
}
