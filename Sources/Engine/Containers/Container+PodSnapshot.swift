import Base
import Glibc
import Images
import Kernel
import Machines

/// A container while all of its pod is captured or taken back. With `lifecycle` held.
extension Container {
    /// - Returns: whether it runs.
    /// - Throws: when it runs and cannot be captured.
    func isReadyForPodSnapshot() throws(SkalaError) -> Bool {
        guard record.state.isAlive else { return false }
        guard record.state.status == .running else {
            throw SkalaError(.conflict, "container \(record.name) is paused: unpause it first")
        }
        guard hostMounts.isEmpty else {
            throw SkalaError(
                .invalid,
                "the memory of pod \(record.podName) cannot be captured: \(record.name) uses folders of the host, through a program "
                    + "whose state cannot be saved; take the files of each container alone (skala snapshot)")
        }
        try requireNoStall()
        return true
    }

    func checkReturnsToPod() throws(SkalaError) {
        guard hostMounts.isEmpty else {
            throw SkalaError(.conflict, "container \(record.name) uses folders of the host by now")
        }
    }

    func beginCapture() { isBeingCaptured = true }
    func endCapture() { isBeingCaptured = false }

    /// Copies a disk beside its own; `exchangeFiles` puts it there.
    func stageDisk(from source: String) async throws {
        let target = diskPath + ".new"
        try await engine.threads.run {
            try FileContents.removeTree(target)
            try DiskImage.copy(source, to: target)
            try DiskSync.file(target)
        }
    }

    /// What it does now is given up.
    func endForPod() async throws {
        try await killForRestore()
        try await closeFiles()
    }

    /// What the VM that continues needs to have of it.
    func podMember() async throws -> Pod.Member {
        let image = try await engine.images.find(record.imageID)
        let root = engine.machines.rootImage(of: image)
        try await engine.machines.makeRootImage(root, layers: await engine.images.layerPaths(of: image))
        return Pod.Member(id: id, root: root, disk: diskPath, log: logSettings, shares: [], files: .array([]))
    }

    func returnToPod() async throws {
        returnsToPod = true
        defer { returnsToPod = false }
        record.hasBeenManuallyStopped = false
        try await startLocked()
    }

    /// Goes on in its pod's VM, where it was.
    func reenterPod() async throws {
        guard let pod else { throw VirtualMachine.gone }
        let machine = try await pod.reenter(id, ["files": try guestFiles])
        self.machine = machine
        let shape = await pod.snapshot.shape
        (record.machineMemory, record.machineProcessors) = (shape.memory, shape.processors)
        wardenGeneration = machine.generation
        goesOn(in: machine)
    }
}
