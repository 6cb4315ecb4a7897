import Base
import CLinux
import Glibc
import Kernel
import Machines
import Networks

/// Snapshots of machines.
extension Container {
    /// Copies its disks, and, of one that runs, has QEMU write memory and devices beside them.
    func captureDiskMachine(into snapshot: MachineSnapshot, filesOnly: Bool) async throws -> Snapshot.Machine? {
        let present = files(in: snapshot.folder).filter { access($0.place, F_OK) == 0 }
        let files = present.map { (source: $0.place, target: $0.copy) }
        // Long: not on the threads everybody waits for.
        let threads = WorkerThreads(limit: 1)
        guard record.state.isAlive else {
            try await threads.run { for file in files { try DiskImage.copy(file.source, to: file.target) } }
            return nil
        }
        guard record.state.status == .running else {
            throw SkalaError(.conflict, "machine \(record.name) is paused, and its disk with it: unpause it first")
        }
        isBeingCaptured = true
        defer { isBeingCaptured = false }
        let control = control(record.state.pid)
        let (shape, accelerator) = try await threads.run { try control.describe() }
        let endpoint = await engine.networks.endpoints(of: id).first
        let saved = Snapshot.Machine(
            shape: shape, accelerator: accelerator,
            key: try await machineKey(
                processors: shape.processors, accelerator, hardware: endpoint?.macAddress ?? ""),
            hasDisk: true, guestID: id, address: endpoint?.ipv4 ?? "", hardware: endpoint?.macAddress ?? "")
        let pause = try await threads.run {
            try control.captureMachine(state: filesOnly ? nil : snapshot.state, files: files)
        }
        engine.log.debug("machine \(Identifier.short(id)) captured: it stood still for \(pause) us")
        return filesOnly ? nil : saved
    }

    /// What has to be the same for a machine's memory and devices to be loaded again.
    private func machineKey(processors: Int, _ accelerator: Accelerator, hardware: String) async throws -> JSON {
        var status = stat()
        let program = engine.configuration.machineProgram
        try checkErrno(stat(program, &status), "stat", program)
        let command = try await diskMachineCommand(
            program: "", accelerator, processors: processors, hardware: hardware.isEmpty ? nil : hardware,
            continues: false)
        return [
            "program": JSON("\(program) \(status.st_size) \(status.st_mtim.tv_sec)"),
            "arguments": JSON(command.arguments),
            // Under emulation a guest sees nothing of the host's processor and kernel.
            "host": accelerator == .kvm ? JSON(HostFacts.kernelVersion) : "",
        ]
    }

    /// - Throws: `.conflict` when it cannot be loaded any more.
    func checkMachineLoads(_ saved: Snapshot.Machine) async throws {
        let now = try await machineKey(
            processors: saved.shape.processors, saved.accelerator, hardware: saved.hardware)
        guard now != saved.key else { return }
        guard now["program"] == saved.key["program"], now["host"] == saved.key["host"] else {
            throw VirtualMachines.cannotLoad
        }
        throw SkalaError(
            .conflict,
            "the memory was saved of a machine with other devices or limits, or by another version of Skala: its files can "
                + "be had with --disk-only")
    }

    /// The guest goes on with the address it had: it has to be had again.
    func checkAddress(of resumption: Resumption, _ endpoint: Endpoint?) throws(SkalaError) {
        let saved = resumption.machine
        guard saved.address == endpoint?.ipv4 ?? "", saved.hardware == endpoint?.macAddress ?? "" else {
            throw SkalaError(
                .conflict,
                "the snapshot's memory knows the address \(saved.address.isEmpty ? "of no network" : saved.address), which the "
                    + "machine cannot have now: its files can be had with --disk-only")
        }
    }

    /// A daemon that was killed may have left the machine standing still.
    func endMachineCapture() async {
        let control = control(record.state.pid)
        do { try await engine.threads.run { try control.endCapture() } } catch {
            engine.log.error("machine \(id) does not go on", ["error": "\(error)"])
        }
    }
}
