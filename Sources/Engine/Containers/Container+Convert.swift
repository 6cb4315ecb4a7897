import Archives
import Base
import Glibc
import Images
import Kernel
import Machines
import Networks

extension Container {
    /// Makes the instance one of another isolation; id, name, volumes, ports and what it wrote stay, and its address where
    /// that is possible. One that runs is stopped meanwhile.
    ///
    /// The files are there in the new form before the record changes, and in the old form until then: killed at any moment,
    /// the instance is whole, and what does not count is removed when the daemon starts next.
    ///
    /// - Parameter name: the pod it comes into; nil makes one of its own.
    /// - Returns: what has changed besides, in words.
    /// - Throws: `.conflict` when it is of that isolation; `.invalid` when it has options that are impossible there.
    public func convert(
        to target: Isolation, pod name: String?, report: ProgressReport
    ) async throws -> [String] {
        try await lifecycle.withLock {
            try requireThere()
            try checkConversion(to: target, pod: name)
            let runs = record.state.isAlive || record.state.status == .restarting
            let address = await engine.networks.endpoints(of: id).first?.ipv4
            if runs {
                report("Stopping \(record.name)")
                try await stopLocked(timeout: nil, signal: nil)
            }
            await exitCleanUp?.value
            let oldPod = record.podID
            var converted = record
            var notes: [String] = []
            do {
                try await closeFiles()
                if !oldPod.isEmpty { notes += try await leavePod(&converted) }
                if target == .pod { try await joinPod(&converted, named: name) }
                report("Converting the files of \(record.name)")
                try await moveFiles(to: target)
                try Container.checkNotCancelled()
                try await setIsolation(target, converted)
            } catch {
                if converted.podID != oldPod { await containers.pods.forget(id, of: converted.podID) }
                await removeHalfMade()
                await containers.lookForStalledMachines()
                if runs { await startAgain() }
                throw error
            }
            await removeHalfMade()
            if !oldPod.isEmpty { await containers.pods.forget(id, of: oldPod) }
            publish("convert", ["isolation": target.rawValue])
            guard runs else { return notes + addressNotes(oldPod) }
            report("Starting \(record.name)")
            record.hasBeenManuallyStopped = false
            try await startLocked()
            let now = await engine.networks.endpoints(of: id).first?.ipv4
            if let address, let now, address != now { notes.append("Its address was \(address), and is \(now) now.") }
            return notes
        }
    }

    private func checkConversion(to target: Isolation, pod: String?) throws {
        guard target != record.isolation else {
            throw SkalaError(.conflict, "container \(record.name) is at isolation \(target.rawValue) already")
        }
        guard record.isolation != .machine else {
            throw SkalaError(
                .unsupported,
                "machine \(record.name) cannot be converted: what is on its disk boots, and is no image's files")
        }
        guard target != .machine else {
            throw SkalaError(
                .unsupported,
                "a conversion to isolation machine is not possible: that boots from a disk, with a kernel on it")
        }
        guard pod == nil || target == .pod else {
            throw SkalaError(.invalid, "only at isolation pod a container has a pod, not at \(target.rawValue)")
        }
        try MachineLimits.checkAnnotations(record.hostConfig, hasMachine: target == .microvm)
        try MachineLimits.checkStorage(record.hostConfig, hasDisk: target == .microvm)
        guard target.hasOwnWarden else { return }
        try MachineLimits.check(record.config, record.hostConfig, target)
        try MachineLimits.check(record.mounts, target)
        guard record.networks.keys.count <= MachineCommand.maximumCards else {
            throw MachineLimits.refused(
                "a further network", "its VM has \(MachineCommand.maximumCards) network cards", target)
        }
    }

    // MARK: pods

    /// Comes into the pod of that name, or into one of its own, which takes its address over.
    private func joinPod(_ converted: inout ContainerRecord, named name: String?) async throws {
        try await containers.joinPod(&converted, named: name)
        guard let network = converted.networks.keys.first,
            let address = previousAddresses[try await engine.networks.find(network).id]
        else { return }
        try await containers.pods.find(converted.podID).prefer(address: address)
    }

    /// Is nobody's of the pod any more, which stays the pod's until it is forgotten there. Its address the container keeps if
    /// the pod goes with it.
    ///
    /// - Returns: what it does not keep, in words.
    private func leavePod(_ converted: inout ContainerRecord) async throws -> [String] {
        let pod = try await containers.pods.find(record.podID)
        let isAlone = await containers.pods.members(of: pod).count == 1
        let goes = await pod.snapshot.isOnDemand && isAlone
        (converted.podID, converted.podName) = ("", "")
        if var annotations = converted.hostConfig["Annotations"].object {
            for annotation in [PodName.annotation, PodName.tenantAnnotation] { annotations[annotation] = nil }
            converted.hostConfig["Annotations"] = .object(annotations)
        }
        guard let (network, settings) = converted.networks.members.first.map({ ($0.key, $0.value) }) else { return [] }
        if goes {
            previousAddresses[try await engine.networks.find(network).id] = await pod.address
            return []
        }
        let wanted = settings.withoutAddresses
        guard wanted != settings else { return [] }
        converted.networks[network] = wanted
        if !converted.config["MacAddress"].isNull { converted.config["MacAddress"] = "" }
        return ["The address that was asked for stays pod \(pod.name)'s."]
    }

    /// Of one that does not run: nobody knows the address yet.
    private func addressNotes(_ oldPod: String) -> [String] {
        guard !record.networks.keys.isEmpty else { return [] }
        if record.isolation == .pod { return ["Its address is that of pod \(record.podName) from now on."] }
        return oldPod.isEmpty ? [] : ["It gets an address of its own when it is started."]
    }

    // MARK: record

    private func setIsolation(_ target: Isolation, _ converted: ContainerRecord) async throws {
        let before = record
        if record.config["MacAddress"] != converted.config["MacAddress"] { record.config = converted.config }
        record.hostConfig = converted.hostConfig
        record.networks = converted.networks
        (record.podID, record.podName) = (converted.podID, converted.podName)
        record.hostConfig["Runtime"] = JSON(target.rawValue)
        if !["", "default"].contains(record.hostConfig["Isolation"].string ?? "") {
            record.hostConfig["Isolation"] = ""
        }
        do { try await persist() } catch {
            (record.config, record.hostConfig, record.networks) = (before.config, before.hostConfig, before.networks)
            (record.podID, record.podName) = (before.podID, before.podName)
            throw error
        }
    }

    private func startAgain() async {
        record.hasBeenManuallyStopped = false
        do { try await startLocked() } catch {
            engine.log.error("cannot start a container again", ["container": id, "error": "\(error)"])
        }
    }

    // MARK: files

    /// To the form that the isolation has, beside the one they are in. VMs of all kinds have the same.
    private func moveFiles(to target: Isolation) async throws {
        let (upper, disk, threads) = (directory + "/upper", diskPath, engine.threads)
        if target == .container {
            try await moveFilesToHost()
            try await threads.run { try DiskSync.tree(upper) }
        } else if record.isolation == .container {
            try await moveFilesToDisk()
            try await threads.run { try DiskSync.file(disk) }
        }
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
