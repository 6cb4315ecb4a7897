import Base
import CLinux
import Glibc
import Kernel
import Machines

/// VMs that continue from a snapshot.
extension VirtualMachines {
    /// What has to be the same for a VM's devices to be loaded again.
    nonisolated func snapshotKey(_ shape: MachineShape, _ accelerator: Accelerator) throws -> JSON {
        var status = stat()
        let program = configuration.machineProgram
        try checkErrno(stat(program, &status), "stat", program)
        return [
            "program": JSON("\(program) \(status.st_size) \(status.st_mtim.tv_sec)"),
            "arguments": JSON(
                MachineCommand(
                    program: "", accelerator: accelerator, shape: shape, origin: .clone,
                    folder: MachineSpec.socketFolder
                ).arguments),
            // Under emulation a guest sees nothing of the host's processor and kernel.
            "host": accelerator == .kvm ? JSON(HostFacts.kernelVersion) : "",
        ]
    }

    /// - Throws: `.conflict` when such a VM cannot be loaded here any more.
    nonisolated func checkLoads(_ machine: Snapshot.Machine) throws {
        guard try snapshotKey(machine.shape, machine.accelerator) == machine.key else {
            throw VirtualMachines.cannotLoad
        }
    }

    static let cannotLoad = SkalaError(
        .conflict,
        "the memory was saved by another version of QEMU or of Skala, or on another kernel: "
            + "its files can be had with --disk-only")

    /// A new VM that continues where the snapshot was taken, its containers still standing still. `request.disk` is the
    /// snapshot's, or a copy.
    func resume(
        _ snapshot: MachineSnapshot, _ saved: Snapshot.Machine, _ request: Request,
        onEvent: @escaping @Sendable (JSON) -> Void
    ) async throws -> VirtualMachine {
        guard !isClosed else { throw SkalaError(.unavailable, "the daemon ends") }
        try checkLoads(saved)
        accelerator = saved.accelerator
        let copiesProcess = access(snapshot.image, R_OK) == 0
        var times = StepTimes()
        let id = Identifier.make()
        let files = MachineFiles(id: id, configuration: configuration)
        // The warden opens it before it is asked to read from it: this end keeps it from waiting for itself.
        let fifo = request.log == nil ? "/dev/null" : files.logPipe
        let hasLog = request.log != nil
        defer { if hasLog { unlink(fifo) } }
        let pipe: OwnedDescriptor
        do {
            pipe = try await threads.run {
                try files.make()
                if saved.hasDisk { try DiskImage.copy(snapshot.scratch, to: files.disk) }
                if hasLog { try checkErrno(mkfifo(fifo, 0o600), "mkfifo", fifo) }
                return try .open(fifo, O_RDWR | O_NONBLOCK)
            }
        } catch {
            files.remove()
            throw error
        }
        var descriptors: [JSON] = [
            ["sealed": JSON(snapshot.memory)], ["tap": JSON(VirtualMachine.tap(of: id))],
            [copiesProcess ? "sealed" : "file": JSON(copiesProcess ? snapshot.image : snapshot.state)],
            ["file": JSON(saved.hasDisk ? files.disk : request.disk), "mode": "write"],
            ["file": JSON(request.root)],
            ["file": JSON(fifo), "mode": "append"],
        ]
        if saved.hasDisk { descriptors.append(["file": JSON(request.disk), "mode": "write"]) }
        let cards = saved.cards.filter { $0 > 0 }
        descriptors += cards.map { ["tap": JSON(VirtualMachine.tap(of: id, card: $0))] }
        let machine = try await spawn(
            files, shape: saved.shape, accelerator: saved.accelerator,
            origin: .snapshot(hasDisk: saved.hasDisk, cards: cards),
            descriptors: descriptors, isRestored: copiesProcess, in: request.cgroupParent)
        times.end("spawn")
        do {
            machine.setEventHandler(onEvent)
            if let log = request.log {
                try await warden.request(
                    "log", ["id": JSON(id), "name": JSON(log.name), "fifo": JSON(fifo), "log": log.file])
            }
            pipe.close()
            let control = machine.control
            try await threads.run {
                try copiesProcess ? control.proceed() : control.resumeSnapshot()
                if saved.hasDisk { unlink(files.disk) }
            }
            times.end("load")
            try await machine.connect(seconds: 30)
            if !(request.resources.object?.keys.isEmpty ?? true) {
                try await warden.request("update", ["id": JSON(machine.id), "resources": request.resources])
            }
            times.end("connect")
            unclaimed[id] = nil
            log.debug("VM \(Identifier.short(id)) from a snapshot: \(times)")
            return machine
        } catch {
            throw await failed(machine, error)
        }
    }

    /// Frees the host's copy of a snapshot's memory; VMs that continue from it keep theirs.
    func release(_ snapshot: MachineSnapshot) async {
        // Fails only when the warden is gone, and the copy with it.
        for path in [snapshot.memory, snapshot.image] { _ = try? await warden.request("unseal", ["path": JSON(path)]) }
    }
}
