import Base
import CLinux
import Glibc
import Images
import Kernel
import Machines

/// Starts VMs: keeps the kernels, makes the templates, clones them, and keeps a few clones ready.
actor VirtualMachines {
    /// What a VM is started with.
    struct Request: Sendable {
        let shape: MachineShape
        /// The read-only disk with the image, and the writable one, which is made when it is not there.
        let root: String
        let disk: String
        /// The file the containers' output goes to.
        let log: String
        /// `linux.resources` for QEMU.
        let resources: JSON
        /// Folders and files of the host, and where the VM sees them: number 0 as `0`, and so on.
        let shares: [HostShare]
    }

    let kernels: KernelStore
    /// What runs the instructions; nil until the first VM.
    private(set) var accelerator: Accelerator?
    private let configuration: EngineConfiguration
    private let warden: WardenSupervisor
    private let threads: WorkerThreads
    private let log: Log
    private var templates: [MachineShape: Task<MachineTemplate, any Error>] = [:]
    private let spares: SpareMachines
    /// Clones that are nobody's yet: being started, or warmed up.
    private var unclaimed: [String: VirtualMachine] = [:]
    private var isClosed = false
    private var rootImages: [String: Task<Void, any Error>] = [:]
    private var pulling: Task<GuestKernel, any Error>?

    /// How much a container may write into its file system, in bytes: the size of its sparse disk.
    static let diskBytes: Int64 = 10 << 30
    /// How long a template may take to boot. A stock guest that has not finished on KVM by then never will.
    private static let bootDeadline = 60.0
    private static let probeDeadline = 8.0

    init(configuration: EngineConfiguration, warden: WardenSupervisor, threads: WorkerThreads, log: Log) {
        self.configuration = configuration
        self.warden = warden
        self.threads = threads
        self.log = log
        kernels = KernelStore(root: configuration.machineRoot + "/kernels")
        spares = SpareMachines(limit: configuration.spareMachines, log: log)
    }

    // MARK: start

    /// A VM for a container: a spare one, or a new clone of its shape's template, which is made first when there is none.
    func start(_ request: Request, onEvent: @escaping @Sendable (JSON) -> Void) async throws -> VirtualMachine {
        var times = StepTimes()
        let machine = try await claim(request)
        times.end("clone")
        do {
            machine.setEventHandler(onEvent)
            try await attach(request, to: machine)
            if !(request.resources.object?.keys.isEmpty ?? true) {
                try await warden.request("update", ["id": JSON(machine.id), "resources": request.resources])
            }
            times.end("attach")
            unclaimed[machine.id] = nil
            log.debug("VM \(Identifier.short(machine.id)): \(times)")
            return machine
        } catch {
            throw await failed(machine, error)
        }
    }

    /// Ends a VM that did not start, and answers the error with what it said last.
    private func failed(_ machine: VirtualMachine, _ error: any Error) async -> SkalaError {
        let reason = VirtualMachines.lastWords(machine.console)
        unclaimed[machine.id] = nil
        await machine.destroy()
        return ((error as? SkalaError) ?? SkalaError(.system, "\(error)")).within("cannot start the VM" + reason)
    }

    private func claim(_ request: Request) async throws -> VirtualMachine {
        let shape = request.shape
        defer { if request.shares.isEmpty { spares.refill(shape) { [self] in try await warmClone(shape) } } }
        if request.shares.isEmpty, let machine = spares.take(shape) {
            let control = machine.control
            do {
                try await threads.run { try control.proceed() }
                return machine
            } catch {
                // It ended while it waited: another one does as well.
                log.error("a spare VM is lost: \(error)")
                await machine.destroy()
            }
        }
        return try await clone(shape, shares: request.shares)
    }

    /// A new VM that continues where its template was stopped, and whose warden answers.
    private func clone(_ shape: MachineShape, shares: [HostShare]) async throws -> VirtualMachine {
        guard !isClosed else { throw SkalaError(.unavailable, "the daemon ends") }
        let template = try await template(for: shape)
        accelerator = template.accelerator
        let id = Identifier.make()
        let files = MachineFiles(id: id, configuration: configuration)
        if !shares.isEmpty { try await serve(shares, to: id, files) }
        // What a share's server writes to must be the guest's own memory.
        let memory = shares.isEmpty ? "sealed" : "copied"
        try await threads.run {
            try files.make()
            try DiskImage.copy(template.disk, to: files.disk)
        }
        let machine = try await spawn(
            files, shape: shape, accelerator: template.accelerator, origin: .clone,
            descriptors: [
                [memory: JSON(template.memory)], ["tap": JSON(VirtualMachine.tap(of: id))],
                ["file": JSON(files.disk), "mode": "write"], ["file": JSON(template.state)],
                ["file": JSON(template.root)],
            ], hasShare: !shares.isEmpty)
        unclaimed[id] = machine
        do {
            let control = machine.control
            async let resumed: Void = threads.run { try control.resume() }
            try await machine.connect(seconds: 20)
            try await resumed
            return machine
        } catch {
            throw await failed(machine, error)
        }
    }

    /// Makes a clone a container's: its image, its disk and its log.
    private func attach(_ request: Request, to machine: VirtualMachine) async throws {
        let control = machine.control
        let hasShare = !request.shares.isEmpty
        let own = MachineFiles(id: machine.id, configuration: configuration).disk
        try await threads.run {
            let hasDisk = access(request.disk, F_OK) == 0
            let belongings = MachineControl.Belongings(
                root: try .open(request.root, O_RDONLY), disk: hasDisk ? try .open(request.disk, O_RDWR) : nil,
                log: try .open(request.log, O_WRONLY | O_APPEND | O_CREAT, mode: 0o640), hasShare: hasShare)
            try control.attach(belongings)
            // A container that has none takes the clone's own disk; otherwise that is nobody's.
            try checkErrno(hasDisk ? unlink(own) : rename(own, request.disk), "move", own)
        }
    }

    // MARK: spare VMs

    /// A clone that has done once what a container's start takes. Under emulation that is the difference between code that
    /// has been translated and code that has not.
    private func warmClone(_ shape: MachineShape) async throws -> VirtualMachine {
        let machine = try await clone(shape, shares: [])
        do {
            try await WarmUp.run(machine)
            let control = machine.control
            try await threads.run { try control.stop() }
            unclaimed[machine.id] = nil
            return machine
        } catch {
            throw await failed(machine, error)
        }
    }

    /// Ends the spare VMs, and those that are being made: they are of no use to the next daemon.
    func close() async {
        isClosed = true
        for machine in spares.removeAll() + unclaimed.values { await machine.destroy() }
    }

    /// A VM that an earlier daemon started and the host's warden still has.
    func adopt(_ id: String, pid: Int32) -> VirtualMachine {
        VirtualMachine(
            files: MachineFiles(id: id, configuration: configuration), pid: pid, host: warden, threads: threads)
    }

    /// Removes the files of VMs that do not run any more.
    func removeStrays(known: Set<String>) async throws {
        let configuration = configuration
        try await threads.run { try MachineFiles.removeAll(except: known, configuration) }
    }

    private func spawn(
        _ files: MachineFiles, shape: MachineShape, accelerator: Accelerator, origin: MachineCommand.Origin,
        descriptors: [JSON], hasShare: Bool = false
    ) async throws -> VirtualMachine {
        let program = configuration.machineProgram
        guard access(program, X_OK) == 0 else {
            throw SkalaError(.unavailable, "VMs need \(program) (Debian: qemu-system-x86), which is not installed")
        }
        let command = MachineCommand(
            program: program, accelerator: accelerator, shape: shape, origin: origin, folder: MachineSpec.socketFolder,
            hasShare: hasShare)
        let devices = accelerator == .kvm ? [HostDevice.look("/dev/kvm")].compactMap { $0 } : []
        let spec = MachineSpec(
            id: files.id, arguments: command.arguments, root: files.root, folder: files.folder,
            cgroupParent: configuration.cgroupParent, devices: devices, memory: shape.memory)
        let answer = try await warden.request(
            "create",
            [
                "id": JSON(files.id), "spec": spec.json, "io": VirtualMachines.output(to: files.console), "start": true,
                "descriptors": JSON(descriptors),
            ])
        return VirtualMachine(
            files: files, pid: Int32(clamping: answer["pid"].int ?? 0), host: warden, threads: threads)
    }

    /// The programs' words, bounded: a guest may write as much as it likes.
    private static func output(to console: String) -> JSON {
        [
            "terminal": false, "stdin": false,
            "log": ["path": JSON(console), "maximumBytes": JSON(256 << 10), "maximumFiles": 2],
        ]
    }

    /// Starts the program that serves folders of the host to a VM.
    private func serve(_ shares: [HostShare], to id: String, _ files: MachineFiles) async throws {
        let program = try await threads.run {
            try files.make()
            return try ShareSpec.program()
        }
        let spec = ShareSpec(
            id: VirtualMachine.shareID(of: id), program: program, root: files.root, shares: shares,
            cgroupParent: configuration.cgroupParent)
        let socket: JSON = [
            "listen": JSON(files.folder + "/" + MachineCommand.shareSocket), "owner": JSON(MachineSpec.user(of: id)),
        ]
        try await warden.request(
            "create",
            [
                "id": JSON(spec.id), "spec": spec.json, "io": VirtualMachines.output(to: files.console), "start": true,
                "descriptors": [socket],
            ])
    }

    /// The last lines QEMU and the guest's kernel wrote, for errors.
    private static func lastWords(_ console: String) -> String {
        // Nothing was written, or the file is gone: the error stands alone.
        guard let bytes = try? FileContents.read(console) else { return "" }
        let lines = bytes.split(separator: 0x0A).suffix(5).compactMap { line in
            (try? JSON(parsing: Array(line)))?["log"].string?.filter { !$0.isNewline }
        }
        return lines.isEmpty ? "" : " (console: \(lines.joined(separator: " | ")))"
    }

    // MARK: root images

    /// The file of an image's root file system: one for all VMs of that image.
    nonisolated func rootImage(of image: Image) -> String {
        let name = image.id.hasPrefix("sha256:") ? String(image.id.dropFirst(7)) : image.id
        return configuration.machineRoot + "/images/" + name + ".squashfs"
    }

    /// Removes the files of images that are gone; VMs that run keep theirs open.
    func removeRootImages(except images: [Image]) async throws {
        let known = Set(images.map(rootImage))
        let folder = configuration.machineRoot + "/images"
        try await threads.run {
            guard access(folder, F_OK) == 0 else { return }
            for name in try FileContents.names(in: folder) where name.hasSuffix(".squashfs") {
                let path = folder + "/" + name
                if !known.contains(path) { try checkErrno(unlink(path), "unlink", path) }
            }
        }
    }

    /// Makes it when it is not there.
    func makeRootImage(_ path: String, layers: [String]) async throws {
        if access(path, R_OK) == 0 { return }
        let task =
            rootImages[path]
            ?? Task { [threads] in
                try await threads.run {
                    if let slash = path.lastIndex(of: "/") { try FileContents.makeDirectories(String(path[..<slash])) }
                    try RootImage.make(layers: layers, at: path)
                }
            }
        rootImages[path] = task
        defer { rootImages[path] = nil }
        try await task.value
    }

    // MARK: templates

    private func template(for shape: MachineShape) async throws -> MachineTemplate {
        if let task = templates[shape] {
            let template = try await task.value
            // Removed by hand, or by a new kernel.
            if access(template.state, R_OK) == 0 { return template }
        }
        let task = Task { try await findOrMakeTemplate(shape) }
        templates[shape] = task
        do {
            return try await task.value
        } catch {
            templates[shape] = nil
            throw error
        }
    }

    private func findOrMakeTemplate(_ shape: MachineShape) async throws -> MachineTemplate {
        let kernel = try await currentKernel()
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
            let template = try await prepareTemplate(shape, kernel, accelerator)
            do {
                return try await boot(
                    template, shape, kernel, key,
                    seconds: isLast ? VirtualMachines.bootDeadline : VirtualMachines.probeDeadline)
            } catch {
                guard !isLast else { throw error }
                log.info("no guest boots on \(accelerator.rawValue) here: \(error)")
                // Other failures may be mended; a guest that never finished booting will not next time.
                if (error as? SkalaError)?.code == .timedOut { rememberProbe(accelerator, key) }
            }
        }
        throw SkalaError(.unavailable, "no accelerator")
    }

    /// What a template is made of: when any of it changes, it is made anew.
    private func templateKey(_ shape: MachineShape, _ kernel: GuestKernel) throws -> JSON {
        func stamp(_ path: String) throws -> JSON {
            var status = stat()
            try checkErrno(stat(path, &status), "stat", path)
            return JSON("\(path) \(status.st_size) \(status.st_mtim.tv_sec).\(status.st_mtim.tv_nsec)")
        }
        return [
            "kernel": try stamp(kernel.image), "warden": try stamp(configuration.wardenPath),
            "program": try stamp(configuration.machineProgram), "shape": JSON(shape.text),
            "host": JSON(HostFacts.kernelVersion),
        ]
    }

    private var probeFile: String { configuration.machineRoot + "/no-accelerator" }

    private func probeFailed(_ accelerator: Accelerator, _ key: JSON) -> Bool {
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
        } catch { log.error("cannot remember that \(accelerator.rawValue) does not work: \(error)") }
    }

    private func templateFolder(_ shape: MachineShape, _ accelerator: Accelerator) -> String {
        "\(configuration.machineRoot)/templates/\(shape.text)-\(accelerator.rawValue)"
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
            let warden = try FileContents.read(wardenPath, limit: 256 << 20)
            let initProgram = try FileContents.read(initPath)
            try FileContents.replace(
                template.initramfs, with: try kernel.initramfs(warden: warden, initProgram: initProgram))
            let memory = try OwnedDescriptor.open(template.memory, O_RDWR | O_CREAT, mode: 0o600)
            try checkErrno(ftruncate(memory.raw, Int(shape.memory)), "truncate", template.memory)
            try DiskImage.format(template.disk, bytes: VirtualMachines.diskBytes)
            try WarmUp.makeRoot(template.root, program: initProgram)
        }
        return template
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
        try checkErrno(chown(template.memory, user, user), "chown", template.memory)
        let files = MachineFiles(id: id, configuration: configuration)
        try await threads.run { try files.make() }
        let machine = try await spawn(
            files, shape: shape, accelerator: accelerator, origin: .boot,
            descriptors: [
                ["file": JSON(template.memory), "mode": "write"], ["tap": JSON(VirtualMachine.tap(of: id))],
                ["file": JSON(template.disk), "mode": "write"],
                ["file": JSON(kernel.image)], ["file": JSON(template.initramfs)],
            ])
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
            try? template.remove()  // the first error is the one that tells
            throw ((error as? SkalaError) ?? SkalaError(.system, "\(error)")).within(
                "cannot make a template for VMs" + reason)
        }
        await machine.destroy()
        // A copy of the last one may be in the warden's memory.
        try await warden.request("unseal", ["path": JSON(final.memory)])
        try await threads.run {
            unlink(template.initramfs)
            try checkErrno(chown(template.memory, 0, 0), "chown", template.memory)
            if access(final.folder, F_OK) == 0 { try final.remove() }
            try template.complete(key)
            try checkErrno(rename(template.folder, final.folder), "rename", final.folder)
        }
        let took = Double(SystemClock.monotonicNanoseconds() - began) / 1e9
        log.info("the template \(shape.text) is ready after \((took * 10).rounded() / 10) s")
        return final
    }

    // MARK: kernels

    private func currentKernel() async throws -> GuestKernel {
        let kernels = kernels
        if let kernel = try await threads.run({ try kernels.current() }) { return kernel }
        return try await pullKernel()
    }

    /// Adds a kernel, downloading the distribution's when no package is given; VMs started from now on use it.
    func addKernel(package path: String?) async throws -> GuestKernel {
        guard let path else { return try await pullKernel() }
        let kernels = kernels
        let kernel = try await threads.run {
            let kernel = try kernels.add(package: path)
            try kernels.use(kernel.release)
            return kernel
        }
        forgetTemplates()
        return kernel
    }

    func useKernel(_ release: String) async throws {
        let kernels = kernels
        try await threads.run { try kernels.use(release) }
        forgetTemplates()
    }

    /// The next VM of each shape looks again at what its template is made of; spare ones of old templates go.
    func forgetTemplates() {
        templates = [:]
        let old = spares.removeAll()
        Task { for machine in old { await machine.destroy() } }
    }

    private func pullKernel() async throws -> GuestKernel {
        if let pulling { return try await pulling.value }
        log.info("downloading a kernel for VMs")
        let (kernels, threads) = (kernels, threads)
        let task = Task {
            try await threads.run {
                let kernel = try kernels.pull()
                try kernels.use(kernel.release)
                return kernel
            }
        }
        pulling = task
        defer { pulling = nil }
        let kernel = try await task.value
        forgetTemplates()
        return kernel
    }
}
