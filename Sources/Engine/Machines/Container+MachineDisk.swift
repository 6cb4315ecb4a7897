import Base
import Glibc
import Images
import Kernel
import Machines
import OCI

/// A machine's disk: made larger, and copied into an image.
extension Container {
    /// Makes the disk larger; a running guest sees it at once.
    ///
    /// - Throws: `.invalid` when it is smaller than it was.
    public func resizeDisk(to size: Int64) async throws {
        try await lifecycle.withLock {
            guard record.isolation == .machine else {
                throw SkalaError(.invalid, "container \(record.name) has no disk of its own: it is no machine")
            }
            guard !isRemoved else { throw SkalaError(.notFound, "No such container: \(id)") }
            let size = try DiskMachineLimits.rounded(size)
            let now = max(try diskSize(), try DiskMachineLimits.diskSize(record.hostConfig) ?? 0)
            guard size >= now else {
                throw SkalaError(
                    .invalid, "a disk is not made smaller: machine \(record.name) has one of \(ByteSize.decimal(now))")
            }
            if record.state.status == .running {
                let control = control(record.state.pid)
                try await engine.threads.run { try control.resizeDisk(to: size) }
            } else if record.state.status == .paused {
                throw SkalaError(.conflict, "machine \(record.name) is paused, and its disk with it: unpause it first")
            }
            // Of a stopped one at its next start: only QEMU, in its walls, writes to a disk that a guest could have damaged.
            record.hostConfig["StorageOpt"] = ["size": JSON("\(size)")]
            try await persist()
            publish("update")
        }
    }

    /// Makes an image of the disk as it is at this moment.
    func commitDisk(reference: Reference?, author: String, comment: String, config: JSON) async throws -> Image {
        let size = max(try diskSize(), try DiskMachineLimits.diskSize(record.hostConfig) ?? 0)
        return try await engine.images.importDisk(
            config: config, reference: reference, author: author, comment: comment
        ) { file in
            try FileContents.append(QCOW2.empty(size: size), to: file.raw, "disk")
            try await self.copyDisk(to: file)
            return "disk.qcow2"
        }
    }

    private func copyDisk(to target: OwnedDescriptor) async throws {
        guard record.state.status != .paused else {
            throw SkalaError(.conflict, "machine \(record.name) is paused, and its disk with it: unpause it first")
        }
        // Long: not on the threads everybody waits for.
        let threads = WorkerThreads(limit: 1)
        if record.state.isAlive {
            let control = control(record.state.pid)
            return try await threads.run { try control.copyDisk(to: target) }
        }
        try await lifecycle.withLock {
            guard !record.state.isAlive, !isRemoved else {
                throw SkalaError(.conflict, "machine \(record.name) was started meanwhile: try again")
            }
            await exitCleanUp?.value
            // QEMU, as for a start but without a network, that never runs.
            let helper = try await holdDisk()
            let control = control(helper)
            let result: Result<Void, any Error>
            do {
                let wanted = try DiskMachineLimits.diskSize(record.hostConfig)
                let size = try diskSize()
                result = .success(
                    try await threads.run {
                        if let wanted, wanted > size { try control.resizeDisk(to: wanted) }
                        try control.copyDisk(to: target)
                    })
            } catch { result = .failure(error) }
            // Fails only when the warden is gone, and QEMU with it.
            _ = try? await engine.warden.request("delete", ["id": JSON(id)])
            cleanUpDiskMachine()
            try result.get()
        }
    }

    private func holdDisk() async throws -> Int32 {
        let base = try await imageDisk()
        let files = diskMachineFiles
        let seed = CloudInit(
            id: id, hostname: "hold", endpoint: nil, nameServers: [], searchDomain: nil, variables: [], userData: nil
        ).files
        let seedPath = seedPath
        try await engine.threads.run {
            try files.make()
            try FileContents.replace(seedPath, with: try SeedImage.make(seed), mode: 0o600)
        }
        let command = DiskMachineCommand(
            program: engine.configuration.machineProgram, accelerator: .tcg, folder: MachineSpec.socketFolder,
            processors: 1, memory: DiskMachineLimits.minimumMemory, reservesMemory: false,
            baseDriver: base.format.driver,
            macAddress: nil, hasUEFI: false, uuid: String(id.prefix(32)))
        let spec = MachineSpec(
            id: id, arguments: command.arguments, root: files.root, folder: files.folder,
            cgroupParent: cgroupParent ?? engine.configuration.cgroupParent, devices: [],
            memory: DiskMachineLimits.minimumMemory,
            isClone: false)
        let answer = try await engine.warden.request(
            "create",
            [
                "id": JSON(id), "spec": spec.json, "io": ["terminal": false, "stdin": false], "start": true,
                "descriptors": [
                    ["file": JSON(machineDisk), "mode": "write"], ["file": JSON(base.path)], ["file": JSON(seedPath)],
                ],
            ])
        return Int32(clamping: answer["pid"].int ?? 0)
    }
}
