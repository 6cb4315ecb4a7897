import Base
import CLinux
import Glibc
import Images
import Kernel
import Machines

/// Templates: found when they are made of what is there now, and made otherwise.
extension VirtualMachines {
    /// How long a stock guest may take to boot, in seconds. One that has not finished on KVM by `probeDeadline` never will; an
    /// emulated one, with all of a pod's places, takes ten seconds of a processor, of which a busy host gives it a part.
    static let bootDeadline = 180.0
    /// The same, before another one is tried.
    private static let patience = 90.0
    private static let probeDeadline = 8.0

    func template(for shape: MachineShape) async throws -> MachineTemplate {
        while let task = templates[shape] {
            let template = try await task.value
            if access(template.state, R_OK) == 0 { return template }
            // Removed by hand. Of those who waited one makes it anew, the others wait again.
            if templates[shape] == task { templates[shape] = nil }
        }
        let task = Task { try await findOrMakeTemplate(shape) }
        templates[shape] = task
        do {
            return try await task.value
        } catch {
            if templates[shape] == task { templates[shape] = nil }
            throw error
        }
    }

    private func findOrMakeTemplate(_ shape: MachineShape) async throws -> MachineTemplate {
        let kernel = try await kernel(of: shape)
        let key = try templateKey(shape, kernel)
        let accelerators: [Accelerator] =
            configuration.accelerator.map { [$0] } ?? (access("/dev/kvm", R_OK | W_OK) == 0 ? [.kvm, .tcg] : [.tcg])
        for accelerator in accelerators {
            let template = MachineTemplate(folder: templateFolder(shape, accelerator), accelerator: accelerator)
            if template.isValid(for: key) { return template }
        }
        for accelerator in accelerators {
            let isLast = accelerator == accelerators.last
            if !isLast, probeFailed(accelerator, key) { continue }
            do {
                guard isLast else {
                    return try await makeTemplate(
                        shape, kernel, accelerator, key, seconds: VirtualMachines.probeDeadline)
                }
                do {
                    return try await makeTemplate(shape, kernel, accelerator, key, seconds: VirtualMachines.patience)
                } catch let error as SkalaError where error.code == .timedOut {
                    // Emulated processors that wait for each other were seen to stand still, rarely; or the host is busy.
                    log.error("a guest has not booted in time; another one is tried", ["error": "\(error)"])
                    return try await makeTemplate(
                        shape, kernel, accelerator, key, seconds: VirtualMachines.bootDeadline)
                }
            } catch {
                guard !isLast else { throw error }
                log.info("no guest boots on \(accelerator.rawValue) here", ["error": "\(error)"])
                // Other failures may be mended; a guest that never finished booting will not next time.
                if (error as? SkalaError)?.code == .timedOut { rememberProbe(accelerator, key) }
            }
        }
        throw SkalaError(.unavailable, "no accelerator")
    }

    /// What a template is made of: when any of it changes, it is made anew.
    func templateKey(_ shape: MachineShape, _ kernel: GuestKernel) throws -> JSON {
        func stamp(_ path: String) throws -> JSON {
            var status = stat()
            try checkErrno(stat(path, &status), "stat", path)
            return JSON("\(path) \(status.st_size) \(status.st_mtim.tv_sec).\(status.st_mtim.tv_nsec)")
        }
        return [
            "kernel": try stamp(kernel.image), "warden": try stamp(configuration.wardenPath),
            "program": try stamp(configuration.machineProgram), "shape": JSON(shape.text),
            // Of another daemon's version a clone may have other devices.
            "arguments": JSON(
                MachineCommand(
                    program: "", accelerator: .tcg, shape: shape, origin: .boot, folder: MachineSpec.socketFolder
                ).arguments),
            "host": JSON(HostFacts.kernelVersion),
        ]
    }

    private var probeFile: String { configuration.machineRoot + "/no-accelerator" }

    func probeFailed(_ accelerator: Accelerator, _ key: JSON) -> Bool {
        // No such file: not probed yet.
        guard let bytes = try? FileContents.read(probeFile), let failed = try? JSON(parsing: bytes) else {
            return false
        }
        return failed["accelerator"].string == accelerator.rawValue && failed["host"] == key["host"]
            && failed["program"] == key["program"] && failed["kernel"] == key["kernel"]
    }

    private func rememberProbe(_ accelerator: Accelerator, _ key: JSON) {
        var failed = key
        failed["accelerator"] = JSON(accelerator.rawValue)
        do {
            try FileContents.replace(probeFile, with: failed.bytes)
        } catch { log.error("cannot remember that \(accelerator.rawValue) does not work", ["error": "\(error)"]) }
    }

    private func templateFolder(_ shape: MachineShape, _ accelerator: Accelerator) -> String {
        MachineTemplate.folder(of: shape, accelerator, below: configuration.machineRoot + "/templates")
    }

    /// Makes the files that a template boots from, in a folder that becomes the template's when it has booted.
    private func prepareTemplate(
        _ shape: MachineShape, _ kernel: GuestKernel, _ accelerator: Accelerator
    ) async throws -> MachineTemplate {
        let template = MachineTemplate(folder: templateFolder(shape, accelerator) + ".new", accelerator: accelerator)
        let (wardenPath, initPath) = (configuration.wardenPath, configuration.initPath)
        try await threads.run {
            if access(template.folder, F_OK) == 0 { try template.remove() }
            try FileContents.makeDirectories(template.folder, mode: 0o711)
            try VirtualMachines.writeInitramfs(
                template.initramfs, kernel, wardenPath: wardenPath, initPath: initPath)
            let memory = try OwnedDescriptor.open(template.memory, O_RDWR | O_CREAT, mode: 0o600)
            try checkErrno(ftruncate(memory.raw, Int(shape.memory)), "truncate", template.memory)
            if shape.kind == .pod {
                try VirtualMachines.makeMemberDisk(template.disk)
            } else {
                try DiskImage.format(template.disk, bytes: VirtualMachines.diskBytes)
                try WarmUp.makeRoot(template.root, program: try FileContents.read(initPath))
            }
        }
        return template
    }

    private func makeTemplate(
        _ shape: MachineShape, _ kernel: GuestKernel, _ accelerator: Accelerator, _ key: JSON, seconds: Double
    ) async throws -> MachineTemplate {
        let template = try await prepareTemplate(shape, kernel, accelerator)
        return try await boot(template, shape, kernel, key, seconds: seconds)
    }

    /// Boots a VM and keeps it, stopped, as a template.
    private func boot(
        _ template: MachineTemplate, _ shape: MachineShape, _ kernel: GuestKernel, _ key: JSON, seconds: Double
    ) async throws -> MachineTemplate {
        let began = SystemClock.monotonicNanoseconds()
        let id = Identifier.make()
        let accelerator = template.accelerator
        let final = MachineTemplate(folder: templateFolder(shape, accelerator), accelerator: accelerator)
        let user = MachineSpec.user(of: id)
        log.info("making the template \(shape.text) on \(accelerator.rawValue) with kernel \(kernel.release)")
        events.publish(
            "template", "boot", shape.text, ["accelerator": accelerator.rawValue, "kernel": kernel.release])
        try checkErrno(chown(template.memory, user, user), "chown", template.memory)
        let files = MachineFiles(id: id, configuration: configuration)
        try await threads.run { try files.make() }
        let machine = try await spawn(
            files, shape: shape, accelerator: accelerator, origin: .boot,
            descriptors: [
                ["file": JSON(template.memory), "mode": "write"], ["tap": JSON(VirtualMachine.tap(of: id))],
                ["file": JSON(kernel.image)], ["file": JSON(template.initramfs)],
            ] + (shape.kind == .pod ? [] : [["file": JSON(template.disk), "mode": "write"]]))
        do {
            try await machine.connect(seconds: seconds)
            machine.close()
            // The guest sees that we are gone, and rests.
            try await Task.sleep(nanoseconds: 300_000_000)
            let control = machine.control
            try await threads.run {
                let state = try OwnedDescriptor.open(template.state, O_WRONLY | O_CREAT | O_TRUNC, mode: 0o600)
                try control.save(to: state)
            }
        } catch {
            let reason = VirtualMachines.lastWords(machine.console)
            await machine.destroy()
            unclaimed[id] = nil
            try? template.remove()  // the first error is the one that tells
            throw ((error as? SkalaError) ?? SkalaError(.system, "\(error)")).within(
                "cannot make a template for VMs" + reason)
        }
        await machine.destroy()
        unclaimed[id] = nil
        // A copy of the last one may be in the warden's memory.
        try await warden.request("unseal", ["path": JSON(final.memory)])
        try await threads.run {
            unlink(template.initramfs)
            try checkErrno(chown(template.memory, 0, 0), "chown", template.memory)
            if access(final.folder, F_OK) == 0 { try final.remove() }
            try template.complete(key)
            try checkErrno(rename(template.folder, final.folder), "rename", final.folder)
        }
        let tenths = (Double(SystemClock.monotonicNanoseconds() - began) / 1e8).rounded()
        log.info("the template \(shape.text) is ready after \(tenths / 10) s")
        events.publish(
            "template", "ready", shape.text, ["accelerator": accelerator.rawValue, "seconds": "\(tenths / 10)"])
        return final
    }
}
