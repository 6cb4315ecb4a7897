import Base
import CLinux
import Glibc
import Kernel
import Machines

/// MicroVMs that continue from a checkpoint, under emulation: QEMU's start and the translation of what every container
/// runs are most of a clone's price, in time as in memory.
extension VirtualMachines {
    /// How often a VM runs a container before it is written down: what runs rarely is translated then, too.
    private static let warmUps = 2
    private static let deadline = 20.0
    /// How often one may turn out to be of no use until none is made any more.
    private static let maximumFailures = 3

    /// A VM that continues from the checkpoint of its shape; nil when there is none, or none that works.
    func restored(
        _ shape: MachineShape, _ template: MachineTemplate, in parent: String?
    ) async throws -> VirtualMachine? {
        guard let checkpoint = findCheckpoint(shape, template) else { return nil }
        let id = Identifier.make()
        let files = MachineFiles(id: id, configuration: configuration)
        do {
            try await threads.run {
                try files.make()
                try DiskImage.copy(checkpoint.disk, to: files.disk)
            }
        } catch {
            files.remove()
            throw error
        }
        do {
            let machine = try await spawn(
                files, shape: shape, accelerator: template.accelerator, origin: .clone,
                descriptors: [
                    ["sealed": JSON(checkpoint.memory)], ["tap": JSON(VirtualMachine.tap(of: id))],
                    ["sealed": JSON(checkpoint.image)], ["file": JSON(files.disk), "mode": "write"],
                    ["file": JSON(checkpoint.root)],
                ], isRestored: true, in: parent)
            do {
                let control = machine.control
                async let resumed: Void = threads.run { try control.proceed() }
                try await machine.connect(seconds: VirtualMachines.deadline)
                try await resumed
                return machine
            } catch {
                throw await failed(machine, error)
            }
        } catch {
            guard !isClosed else { throw error }
            // QEMU or one of its libraries may have been replaced: a clone starts all the same.
            log.error("no VM continues from the checkpoint \(shape.text)", ["error": "\(error)"])
            failedCheckpoints[shape, default: 0] += 1
            await discard(checkpoint, shape)
            return nil
        }
    }

    /// A VM of that shape has started: makes a checkpoint in the background, unless there is one, or it was the first. Who
    /// starts one VM only need not pay for it.
    func makeCheckpointIfNone(_ shape: MachineShape) {
        startCount[shape, default: 0] += 1
        guard shape.kind == .microvm, accelerator == .tcg, !isClosed, checkpoints[shape] == nil,
            startCount[shape, default: 0] > 1,
            failedCheckpoints[shape, default: 0] < VirtualMachines.maximumFailures,
            makingCheckpoints.insert(shape).inserted
        else { return }
        Task {
            do {
                let template = try await template(for: shape)
                if findCheckpoint(shape, template) == nil { try await makeCheckpoint(shape, template) }
                makingCheckpoints.remove(shape)
            } catch {
                // Not tried again by this daemon: VMs are clones then.
                if !isClosed { log.error("cannot make a checkpoint of a VM", ["error": "\(error)"]) }
            }
        }
    }

    private func findCheckpoint(_ shape: MachineShape, _ template: MachineTemplate) -> MachineCheckpoint? {
        guard shape.kind == .microvm, template.accelerator == .tcg, let key = try? checkpointKey(template) else {
            return nil
        }
        let checkpoint = checkpoint(of: shape)
        checkpoints[shape] = checkpoint.isValid(for: key) ? checkpoint : nil
        return checkpoints[shape]
    }

    private func checkpoint(of shape: MachineShape) -> MachineCheckpoint {
        MachineCheckpoint(folder: "\(configuration.machineRoot)/checkpoints/\(shape.text)")
    }

    /// What it is made of: beside the template's all that has a place in QEMU's memory. Of the libraries each is looked at
    /// when it is mapped.
    private func checkpointKey(_ template: MachineTemplate) throws -> JSON {
        var status = stat()
        try checkErrno(stat(configuration.checkpointPath, &status), "stat", configuration.checkpointPath)
        return [
            "template": template.key ?? .null,
            "program": JSON("\(status.st_size) \(status.st_mtim.tv_sec).\(status.st_mtim.tv_nsec)"),
            "boot": JSON(try SmallFile.text("/proc/sys/kernel/random/boot_id").filter { $0 != "\n" }),
        ]
    }

    private func makeCheckpoint(_ shape: MachineShape, _ template: MachineTemplate) async throws {
        let began = SystemClock.monotonicNanoseconds()
        let key = try checkpointKey(template)
        let final = checkpoint(of: shape)
        let new = MachineCheckpoint(folder: final.folder + ".new")
        let machine = try await clone(template, shape, shares: [])
        do {
            for _ in 0..<VirtualMachines.warmUps { try await WarmUp.run(machine) }
            machine.close()
            // The guest sees that we are gone, and rests.
            try await Task.sleep(nanoseconds: 300_000_000)
            let (control, pid, program) = (machine.control, machine.pid, configuration.checkpointPath)
            let disk = MachineFiles(id: machine.id, configuration: configuration).disk
            try await threads.run {
                try new.capture(control, pid: pid, of: template, bytes: shape.memory, disk: disk, program: program)
            }
        } catch {
            throw await failed(machine, error)
        }
        await machine.destroy()
        unclaimed[machine.id] = nil
        await discard(final, shape)
        try await threads.run {
            try new.complete(key)
            try checkErrno(rename(new.folder, final.folder), "rename", final.folder)
        }
        // Clones are made of it only when there are folders of the host, and those do not share the copy.
        try await warden.request("unseal", ["path": JSON(template.memory)])
        checkpoints[shape] = final
        let took = (SystemClock.monotonicNanoseconds() - began) / 1_000_000
        log.info("VMs of the size \(shape.text) continue from a checkpoint, made in \(took) ms")
    }

    /// Removes a checkpoint, and the warden's copies of it; VMs that continued from it keep theirs.
    private func discard(_ checkpoint: MachineCheckpoint, _ shape: MachineShape) async {
        checkpoints[shape] = nil
        for path in [checkpoint.memory, checkpoint.image] {
            // Fails only when the warden is gone, and the copy with it.
            _ = try? await warden.request("unseal", ["path": JSON(path)])
        }
        do {
            try await threads.run { if access(checkpoint.folder, F_OK) == 0 { try checkpoint.remove() } }
        } catch { log.error("cannot remove a checkpoint", ["error": "\(error)"]) }
    }
}
