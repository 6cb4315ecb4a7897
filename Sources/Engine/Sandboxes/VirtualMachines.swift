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
        /// The container's log: its name, and `io.log` of the warden's protocol; nil without one.
        let log: (name: String, file: JSON)?
        /// `linux.resources` for QEMU.
        let resources: JSON
        /// Folders and files of the host, and where the VM sees them: number 0 as `0`, and so on.
        let shares: [HostShare]
        /// Boots, instead of being cloned.
        let isCold: Bool
        /// The control group that QEMU's and its helpers' are made in; nil for the engine's.
        let cgroupParent: String?

        /// Whether a VM that is there already will do.
        var takesSpare: Bool { shares.isEmpty && cgroupParent == nil && !isCold }
    }

    let kernels: KernelStore
    /// What runs the instructions; nil until the first VM.
    var accelerator: Accelerator?
    let configuration: EngineConfiguration
    let warden: WardenSupervisor
    let events: EventBus
    let threads: WorkerThreads
    let log: Log
    var templates: [MachineShape: Task<MachineTemplate, any Error>] = [:]
    /// Counts the templates that were given up.
    var templateGeneration: [MachineShape: Int] = [:]
    /// Those that VMs continue from, and what makes them.
    var checkpoints: [MachineShape: MachineCheckpoint] = [:]
    var makingCheckpoints: Set<MachineShape> = []
    var failedCheckpoints: [MachineShape: Int] = [:]
    var startCount: [MachineShape: Int] = [:]
    let spares: SpareMachines
    /// Those that are nobody's yet: being started, warmed up, or to become templates. One is in it until it is somebody's or
    /// gone, since the daemon may end at any time.
    var unclaimed: [String: VirtualMachine] = [:]
    var isClosed = false
    private var rootImages: [String: Task<Void, any Error>] = [:]
    var pulling: Task<GuestKernel, any Error>?

    /// How much a container may write into its file system, in bytes: the size of its sparse disk.
    static let diskBytes: Int64 = 10 << 30

    init(
        configuration: EngineConfiguration, warden: WardenSupervisor, events: EventBus, threads: WorkerThreads, log: Log
    ) {
        self.configuration = configuration
        self.warden = warden
        self.events = events
        self.threads = threads
        self.log = log
        kernels = KernelStore(root: configuration.machineRoot + "/kernels")
        spares = SpareMachines(
            limit: configuration.spareMachines, memory: configuration.spareMemory, log: log)
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
            makeCheckpointIfNone(request.shape)
            log.debug("VM \(Identifier.short(machine.id)): \(times)")
            return machine
        } catch {
            throw await failed(machine, error)
        }
    }

    /// Ends a VM that did not start, and answers the error with what it said last.
    func failed(_ machine: VirtualMachine, _ error: any Error) async -> SkalaError {
        let reason = VirtualMachines.lastWords(machine.console)
        await machine.destroy()
        unclaimed[machine.id] = nil
        return ((error as? SkalaError) ?? SkalaError(.system, "\(error)")).within("cannot start the VM" + reason)
    }

    private func claim(_ request: Request) async throws -> VirtualMachine {
        let shape = request.shape
        guard request.takesSpare else { return try await newMachine(request) }
        defer {
            spares.refill(shape) { [self] in
                try await warmClone(shape)
            } settled: { [self] in
                await settle($0)
            }
        }
        let spare = spares.take(shape)
        for machine in spare.ended { Task { await machine.destroy() } }
        if let machine = spare.machine {
            let control = machine.control
            do {
                try await threads.run { try control.proceed() }
                return machine
            } catch {
                // It ended while it waited: another one does as well.
                log.error("a spare VM is lost", ["error": "\(error)"])
                await machine.destroy()
            }
        }
        return try await newMachine(request)
    }

    /// A VM for a pod: its places are empty, and the caller's from now on.
    func startPod(_ shape: MachineShape, onEvent: @escaping @Sendable (JSON) -> Void) async throws -> VirtualMachine {
        let machine = try await cloneOfGoodTemplate(shape, shares: [])
        machine.setEventHandler(onEvent)
        unclaimed[machine.id] = nil
        return machine
    }

    /// A new VM that continues where its template was stopped, and whose warden answers.
    ///
    /// - Parameter parent: the control group that QEMU's is made in; nil for the engine's.
    func clone(
        _ shape: MachineShape, shares: [HostShare], in parent: String? = nil
    ) async throws -> VirtualMachine {
        guard !isClosed else { throw SkalaError(.unavailable, "the daemon ends") }
        let template = try await template(for: shape)
        accelerator = template.accelerator
        if shares.isEmpty, let machine = try await restored(shape, template, in: parent) { return machine }
        return try await clone(template, shape, shares: shares, in: parent)
    }

    func clone(
        _ template: MachineTemplate, _ shape: MachineShape, shares: [HostShare], in parent: String? = nil
    ) async throws -> VirtualMachine {
        let id = Identifier.make()
        let files = MachineFiles(id: id, configuration: configuration)
        if !shares.isEmpty {
            try await serve(
                shares, as: VirtualMachine.shareID(of: id), at: MachineCommand.shareSocket, files, in: parent)
        }
        let isPod = shape.kind == .pod
        // What a share's server writes to must be the guest's own memory; a pod may get one at any time.
        let memory = shares.isEmpty && !isPod ? "sealed" : "copied"
        do {
            try await threads.run {
                try files.make()
                if !isPod { try DiskImage.copy(template.disk, to: files.disk) }
            }
        } catch {
            files.remove()
            guard access(template.state, F_OK) != 0 else { throw error }
            // Another one is there, or is made, when it is asked for again.
            throw SkalaError(.unavailable, "the template \(shape.text) was removed meanwhile", cause: error)
        }
        let disks: [JSON] =
            isPod ? [] : [["file": JSON(files.disk), "mode": "write"], ["file": JSON(template.root)]]
        let machine = try await spawn(
            files, shape: shape, accelerator: template.accelerator, origin: .clone,
            descriptors: [
                [memory: JSON(template.memory)], ["tap": JSON(VirtualMachine.tap(of: id))],
                ["file": JSON(template.state)],
            ] + disks, hasShare: !shares.isEmpty, in: parent)
        do {
            let control = machine.control
            async let resumed: Void = threads.run { try control.resume() }
            try await machine.connect(seconds: 30)
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
        let log = try await openLog(request.log, of: machine)
        try await threads.run {
            let hasDisk = access(request.disk, F_OK) == 0
            let belongings = MachineControl.Belongings(
                root: try .open(request.root, O_RDONLY), disk: hasDisk ? try .open(request.disk, O_RDWR) : nil,
                log: log, hasShare: hasShare)
            try control.attach(belongings)
            // A container that has none takes the clone's own disk; otherwise that is nobody's.
            try checkErrno(hasDisk ? unlink(own) : rename(own, request.disk), "move", own)
        }
    }

    /// What runs the instructions of machines: found out with a light VM, once.
    func machineAccelerator() async throws -> Accelerator {
        if let chosen = configuration.accelerator { return chosen }
        guard access("/dev/kvm", R_OK | W_OK) == 0 else { return .tcg }
        if let accelerator { return accelerator }
        let found = try await template(for: MachineShape(memoryLimit: 0, processors: 1, available: 1)).accelerator
        accelerator = found
        return found
    }

    /// Has the host's warden keep a container's log; what is answered is QEMU's end of the pipe to it. Without a daemon, too,
    /// the log is kept, and as long as it may be.
    func openLog(
        _ log: (name: String, file: JSON)?, of machine: VirtualMachine
    ) async throws -> OwnedDescriptor {
        guard let log else { return try .open("/dev/null", O_WRONLY) }
        let fifo = MachineFiles(id: machine.id, configuration: configuration).logPipe
        defer { unlink(fifo) }
        try checkErrno(mkfifo(fifo, 0o600), "mkfifo", fifo)
        try await warden.request(
            "log", ["id": JSON(machine.id), "name": JSON(log.name), "fifo": JSON(fifo), "log": log.file])
        return try .open(fifo, O_WRONLY | O_NONBLOCK)
    }

    // MARK: spare VMs

    /// A clone that has done once what a container's start takes. Under emulation that is the difference between code that
    /// has been translated and code that has not; what continues from a checkpoint has got the memory of its own that it takes.
    private func warmClone(_ shape: MachineShape) async throws -> VirtualMachine {
        let machine = try await clone(shape, shares: [])
        do {
            try await WarmUp.run(machine)
            let control = machine.control
            try await threads.run { try control.stop() }
            return machine
        } catch {
            throw await failed(machine, error)
        }
    }

    /// It is among the spare ones now, or gone.
    private func settle(_ machine: VirtualMachine) { unclaimed[machine.id] = nil }

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

    /// One that does not run any more, and may have left something.
    nonisolated func ended(_ id: String) -> VirtualMachine {
        let machine = VirtualMachine(
            files: MachineFiles(id: id, configuration: configuration), pid: 0, host: warden, threads: threads)
        machine.ended()
        return machine
    }

    /// Removes the files of VMs that do not run any more.
    func removeStrays(known: Set<String>) async throws {
        let configuration = configuration
        try await threads.run { try MachineFiles.removeAll(except: known, configuration) }
    }

    /// Starts a QEMU, which is nobody's until it is claimed. When it does not start its files are gone.
    func spawn(
        _ files: MachineFiles, shape: MachineShape, accelerator: Accelerator, origin: MachineCommand.Origin,
        descriptors: [JSON], hasShare: Bool = false, isRestored: Bool = false, in parent: String? = nil
    ) async throws -> VirtualMachine {
        let program = configuration.machineProgram
        let checkpointProgram = configuration.checkpointPath
        guard access(program, X_OK) == 0 else {
            throw SkalaError(.unavailable, "VMs need \(program) (Debian: qemu-system-x86), which is not installed")
        }
        let command = MachineCommand(
            program: program, accelerator: accelerator, shape: shape, origin: origin, folder: MachineSpec.socketFolder,
            hasShare: hasShare)
        let devices = accelerator == .kvm ? [HostDevice.look("/dev/kvm")].compactMap { $0 } : []
        let spec = MachineSpec(
            id: files.id,
            arguments: isRestored
                ? MachineCommand.restore(program: MachineSpec.checkpointProgramPath, origin: origin)
                : command.arguments,
            root: files.root, folder: files.folder,
            cgroupParent: parent ?? configuration.cgroupParent, devices: devices, memory: shape.memory,
            isClone: origin != .boot && !hasShare && shape.kind != .pod,
            checkpointProgram: isRestored ? checkpointProgram : nil)
        // The daemon may end before the answer is there: then it takes away what was asked for.
        let coming = adopt(files.id, pid: 0)
        unclaimed[files.id] = coming
        do {
            guard !isClosed else { throw SkalaError(.unavailable, "the daemon ends") }
            let answer = try await warden.request(
                "create",
                [
                    "id": JSON(files.id), "spec": spec.json, "io": VirtualMachines.output(to: files.console),
                    "start": true, "descriptors": JSON(descriptors),
                ])
            let machine = adopt(files.id, pid: Int32(clamping: answer["pid"].int ?? 0))
            unclaimed[files.id] = machine
            return machine
        } catch {
            await coming.destroy()
            unclaimed[files.id] = nil
            throw error
        }
    }

    /// The programs' words, bounded: a guest may write as much as it likes.
    static func output(to console: String) -> JSON {
        [
            "terminal": false, "stdin": false,
            "log": ["path": JSON(console), "maximumBytes": JSON(256 << 10), "maximumFiles": 2],
        ]
    }

    /// The last lines QEMU and the guest's kernel wrote, for errors.
    static func lastWords(_ console: String) -> String {
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
}
