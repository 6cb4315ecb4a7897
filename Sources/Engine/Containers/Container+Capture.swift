import Base
import Glibc
import Images
import Kernel
import Machines
import Networks

/// What an instance is at one moment, copied for a snapshot or for clones.
extension Container {
    /// Captures the instance into a folder that is removed afterwards, unless `body` moves it. With `lifecycle` held.
    ///
    /// - Parameter clones: how many are made of it.
    func withCapture<Value>(
        filesOnly: Bool, isKept: Bool, clones: Int = 0,
        _ body: (_ folder: String, Snapshot.Machine?) async throws -> Value
    ) async throws -> Value {
        // No name of a snapshot begins so; what a kill leaves is removed when the daemon starts next.
        let folder = snapshotFolder + "/.new"
        let threads = engine.threads
        let result: Result<Value, any Error>
        do {
            try await threads.run {
                try FileContents.removeTree(folder)
                try FileContents.makeDirectories(folder, mode: 0o700)
            }
            let machine = try await capture(into: folder, filesOnly: filesOnly, isKept: isKept, clones: clones)
            result = .success(try await body(folder, machine))
        } catch { result = .failure(error) }
        do { try await threads.run { try FileContents.removeTree(folder) } } catch {
            engine.log.error("cannot remove \(folder)", ["error": "\(error)"])
        }
        if case .failure = result { await containers.lookForStalledMachines() }
        return try result.get()
    }

    private func capture(
        into folder: String, filesOnly: Bool, isKept: Bool, clones: Int
    ) async throws -> Snapshot.Machine? {
        await exitCleanUp?.value
        if !record.state.isAlive { try await closeFiles() }
        guard record.isolation != .container else {
            try await captureFiles(into: folder)
            return nil
        }
        let snapshot = MachineSnapshot(folder: folder)
        guard record.isolation != .machine else {
            return try await captureDiskMachine(into: snapshot, filesOnly: filesOnly || !isKept)
        }
        guard record.state.isAlive else {
            let source = diskPath
            try await engine.threads.run {
                if access(source, F_OK) == 0 { try DiskImage.copy(source, to: snapshot.disk) }
            }
            return nil
        }
        guard record.isolation != .pod else {
            try await captureMember(into: snapshot)
            return nil
        }
        return try await captureMachine(into: snapshot, filesOnly: filesOnly, isKept: isKept, clones: clones)
    }

    /// Of a container on the host's kernel, frozen meanwhile.
    private func captureFiles(into folder: String) async throws {
        let freezes = record.state.status == .running
        isBeingCaptured = true
        defer { isBeingCaptured = false }
        if freezes { try await engine.warden.request("pause", ["id": JSON(id)]) }
        let result: Result<Void, any Error>
        do {
            result = .success(
                try await FolderCopy.copy(directory + "/upper", to: folder + "/upper", threads: engine.threads))
        } catch { result = .failure(error) }
        // Fails only when it has been killed.
        if freezes { _ = try? await engine.warden.request("resume", ["id": JSON(id)]) }
        try result.get()
    }

    /// Of a container in a pod: writing to its file system waits meanwhile, and nothing else does.
    private func captureMember(into snapshot: MachineSnapshot) async throws {
        guard let machine else { throw VirtualMachine.gone }
        isBeingCaptured = true
        defer { isBeingCaptured = false }
        // What takes long is done before.
        _ = try await helper(machine).document("sync", [:], limit: 64)
        let disk: JSON = ["path": JSON(GuestFolder(of: id).disk)]
        let began = SystemClock.monotonicNanoseconds()
        let source = diskPath
        let result: Result<Void, any Error>
        do {
            try await machine.request("freeze", disk, seconds: Container.configureDeadline)
            result = .success(try await engine.threads.run { try DiskImage.copy(source, to: snapshot.disk) })
        } catch { result = .failure(error) }
        // Fails only when the VM has ended, or the container.
        _ = try? await machine.request("thaw", disk, seconds: Container.configureDeadline)
        let stood = (SystemClock.monotonicNanoseconds() - began) / 1000
        engine.log.debug("a container captured: its writing waited for \(stood) us", ["container": id])
        try result.get()
    }

    /// From how many clones on QEMU is written down for them: for one it takes as long as a QEMU's start.
    private static let clonesOfProcess = 2

    private func captureMachine(
        into snapshot: MachineSnapshot, filesOnly: Bool, isKept: Bool, clones: Int
    ) async throws -> Snapshot.Machine? {
        guard let machine else { throw VirtualMachine.gone }
        guard record.state.status == .running else {
            throw SkalaError(.conflict, "container \(record.name) is paused, and its VM with it: unpause it first")
        }
        guard filesOnly || hostMounts.isEmpty else {
            throw SkalaError(
                .invalid,
                "the memory of \(record.name) cannot be captured: its VM uses folders of the host, through a program whose "
                    + "state cannot be saved; take its files alone with --disk-only")
        }
        isBeingCaptured = true
        defer { isBeingCaptured = false }
        let (control, pid, threads) = (machine.control, machine.pid, engine.threads)
        let (shape, accelerator) = try await threads.run { try control.describe() }
        let cards = filesOnly ? [] : try await cardsInUse(machine)
        let key = try engine.machines.snapshotKey(shape, accelerator)
        // So that the disk alone is of use too.
        if filesOnly || isKept { _ = try await helper(machine).document("sync", [:], limit: 64) }
        let memory =
            filesOnly
            ? nil
            : try await threads.run {
                try GuestMemory(pid: pid, bytes: shape.memory, path: snapshot.memory)
            }
        // In the VM, too: nothing of the container runs in a clone before that has an identity of its own.
        let began = SystemClock.monotonicNanoseconds()
        try await machine.request("pause", ["id": JSON(id)], seconds: Container.configureDeadline)
        let files = MachineFiles(id: machine.id, configuration: engine.configuration)
        let (own, disk, program) = (files.disk, diskPath, engine.configuration.checkpointPath)
        let root = engine.machines.rootImage(of: try await engine.images.find(record.imageID))
        let log = logSettings.isNull ? "/dev/null" : files.logPipe + " (deleted)"
        // Each further card has a tap, and which is which cannot be told from outside.
        let copies =
            clones >= Container.clonesOfProcess && accelerator == .tcg && cards.allSatisfy { $0 == 0 } && !filesOnly
        let result: Result<(MachineControl.Capture, hasDisk: Bool), any Error>
        do {
            result = .success(
                try await threads.run {
                    let scratch = try MachineControl.openFile(of: pid, below: own)
                    var disks = [(target: snapshot.disk, source: disk)]
                    if let scratch, !filesOnly { disks.append((target: snapshot.scratch, source: scratch)) }
                    let process =
                        copies
                        ? ProcessCopy(program: program, pid: pid, root: root, disk: disk, scratch: scratch, log: log)
                        : nil
                    let capture = try control.capture(
                        into: snapshot, memory: memory, disks: disks, process: process)
                    return (capture, scratch != nil)
                })
        } catch { result = .failure(error) }
        // Fails only when the VM has ended.
        _ = try? await machine.request("resume", ["id": JSON(id)], seconds: Container.configureDeadline)
        let stood = (SystemClock.monotonicNanoseconds() - began) / 1000
        let (capture, hasDisk) = try result.get()
        if let refusal = capture.refusal { engine.log.info("each clone of \(record.name) starts a QEMU: \(refusal)") }
        engine.log.debug(
            "VM \(Identifier.short(machine.id)) captured: its processors stood still for \(capture.pause) us, its container for "
                + "\(stood) us; \(ByteSize.decimal(capture.ownMemory)) of its own memory")
        guard !filesOnly else { return nil }
        return Snapshot.Machine(
            shape: shape, accelerator: accelerator, key: key, hasDisk: hasDisk, guestID: id, cards: cards)
    }

    /// The network cards of the VM, in the order of their names in the guest.
    ///
    /// - Throws: `.invalid` when it has some that a VM could not be started with.
    private func cardsInUse(_ machine: VirtualMachine) async throws -> [Int] {
        let taps = await engine.networks.taps(of: id)
        let endpoints = await engine.networks.endpoints(of: id).sorted { $0.number < $1.number }
        let cards = endpoints.compactMap { taps[$0.endpointID].flatMap(VirtualMachine.card) }
        let control = machine.control
        let plugged = try await engine.threads.run { try control.cards() }
        guard plugged.isSubset(of: cards), plugged.count <= MachineCommand.maximumSavedCards else {
            throw SkalaError(
                .invalid,
                "the memory of \(record.name) cannot be captured: its VM has more network cards plugged in than "
                    + "\(MachineCommand.maximumSavedCards), or one that its guest does not let go of; take its files alone with "
                    + "--disk-only")
        }
        return cards
    }
}
