import Base
import CLinux
import Glibc
import Kernel
import Machines

/// VMs that boot: by request, and when no clone starts.
extension VirtualMachines {
    /// A new VM: a clone of its shape's template. When no clone starts, the VM boots.
    func newMachine(_ request: Request) async throws -> VirtualMachine {
        let shape = request.shape
        if request.isCold { return try await bootCold(request) }
        do {
            return try await cloneOfGoodTemplate(shape, shares: request.shares, in: request.cgroupParent)
        } catch let error as SkalaError where VirtualMachines.mayBeTheTemplates(error) {
            guard await canClone(shape) else { throw error }
            log.error("no clone of a new template \(shape.text) starts; the VM boots instead", ["error": "\(error)"])
            return try await bootCold(request)
        }
    }

    /// A clone. When a second one does not start either, the template is made anew, once.
    func cloneOfGoodTemplate(
        _ shape: MachineShape, shares: [HostShare], in parent: String? = nil
    ) async throws -> VirtualMachine {
        let generation = templateGeneration[shape, default: 0]
        do {
            return try await clone(shape, shares: shares, in: parent)
        } catch let error as SkalaError where VirtualMachines.mayBeTheTemplates(error) {
            // One whose QEMU was killed, or stands still, tells nothing of the template.
            guard await canClone(shape) else { throw error }
            log.error("a clone of the template \(shape.text) does not start; another one may", ["error": "\(error)"])
        }
        do {
            return try await clone(shape, shares: shares, in: parent)
        } catch let error as SkalaError where VirtualMachines.mayBeTheTemplates(error) {
            guard await canClone(shape) else { throw error }
            log.error(
                "a clone of the template \(shape.text) does not start; the template is made anew", ["error": "\(error)"]
            )
            try await discardTemplate(shape, generation: generation)
        }
        return try await clone(shape, shares: shares, in: parent)
    }

    /// Not what is missing on the host, or was asked for wrongly: trying again does not help there.
    private static func mayBeTheTemplates(_ error: SkalaError) -> Bool {
        [.unavailable, .timedOut, .system].contains(error.code)
    }

    /// Whether there is a template; if not, it was its making that failed, which has been told.
    private func canClone(_ shape: MachineShape) async -> Bool {
        guard let task = templates[shape] else { return false }
        // The error of a template that could not be made is the one of the start.
        return (try? await task.value) != nil
    }

    /// Removes a shape's template, unless that has been done since.
    private func discardTemplate(_ shape: MachineShape, generation: Int) async throws {
        guard templateGeneration[shape, default: 0] == generation, let task = templates[shape] else { return }
        templateGeneration[shape] = generation + 1
        templates[shape] = nil
        let template = try await task.value
        try await warden.request("unseal", ["path": JSON(template.memory)])
        try await threads.run { try template.remove() }
    }

    /// Boots a VM with memory and disk of its own.
    private func bootCold(_ request: Request) async throws -> VirtualMachine {
        let (shape, shares, parent) = (request.shape, request.shares, request.cgroupParent)
        let kernel = try await kernel(of: shape)
        let accelerator = try coldAccelerator(shape, kernel)
        let id = Identifier.make()
        let files = MachineFiles(id: id, configuration: configuration)
        if !shares.isEmpty {
            try await serve(
                shares, as: VirtualMachine.shareID(of: id), at: MachineCommand.shareSocket, files, in: parent)
        }
        let (wardenPath, initPath) = (configuration.wardenPath, configuration.initPath)
        do {
            try await threads.run {
                try files.make()
                try VirtualMachines.writeInitramfs(
                    files.initramfs, kernel, wardenPath: wardenPath, initPath: initPath)
                let memory = try OwnedDescriptor.open(files.memory, O_RDWR | O_CREAT, mode: 0o600)
                try checkErrno(ftruncate(memory.raw, Int(shape.memory)), "truncate", files.memory)
                try DiskImage.format(files.disk, bytes: VirtualMachines.diskBytes)
            }
        } catch {
            files.remove()
            throw error
        }
        let machine = try await spawn(
            files, shape: shape, accelerator: accelerator, origin: .boot,
            descriptors: [
                ["copied": JSON(files.memory)], ["tap": JSON(VirtualMachine.tap(of: id))],
                ["file": JSON(kernel.image)], ["file": JSON(files.initramfs)],
                ["file": JSON(files.disk), "mode": "write"],
            ], hasShare: !shares.isEmpty, in: parent)
        do {
            try await machine.connect(seconds: VirtualMachines.bootDeadline)
            files.removeBootFiles()
            return machine
        } catch {
            throw await failed(machine, error)
        }
    }

    /// What a template would run on, as far as that is known without one.
    private func coldAccelerator(_ shape: MachineShape, _ kernel: GuestKernel) throws -> Accelerator {
        if let known = configuration.accelerator ?? accelerator { return known }
        let key = try templateKey(shape, kernel)
        return access("/dev/kvm", R_OK | W_OK) == 0 && !probeFailed(.kvm, key) ? .kvm : .tcg
    }

    /// Writes what a guest boots from. Blocking.
    static func writeInitramfs(
        _ path: String, _ kernel: GuestKernel, wardenPath: String, initPath: String
    ) throws {
        let warden = try FileContents.read(wardenPath, limit: 256 << 20)
        try FileContents.replace(
            path, with: try kernel.initramfs(warden: warden, initProgram: try FileContents.read(initPath)))
    }

    // MARK: templates in advance

    /// Makes the template of a VM without limits, so that the first start does not have to.
    func prepare() async {
        do {
            _ = try await template(for: MachineShape(memoryLimit: 0, processors: 0, available: HostFacts.onlineCPUs))
        } catch { log.error("cannot prepare a template for VMs", ["error": "\(error)"]) }
    }

    /// Whether the next VM of that shape needs no template to be made first.
    func hasTemplate(_ shape: MachineShape) -> Bool {
        templates[shape] != nil || MachineTemplate.exists(for: shape, below: configuration.machineRoot + "/templates")
    }
}
