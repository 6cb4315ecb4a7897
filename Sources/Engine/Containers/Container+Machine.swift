import Base
import Glibc
import Images
import Kernel
import Machines
import Networks

/// A container in a VM: one of its own, or, while it runs, its pod's.
extension Container {
    var diskPath: String { directory + "/disk.img" }

    /// Where the VM has what the engine gives it. The files of a stopped container are served by a VM of its own, in a
    /// pod too.
    private var guestFolder: GuestFolder { pod == nil ? .only : GuestFolder(of: id) }

    /// The warden that runs it.
    var sandbox: any Sandbox {
        guard record.isolation.hasOwnWarden else { return engine.warden }
        return machine ?? NoSandbox()
    }

    /// The file system as the VM's warden finds it.
    var guestRootFileSystem: JSON {
        [
            "lower": [JSON(guestFolder.image)], "upper": JSON(guestFolder.disk + "/upper"),
            "work": JSON(guestFolder.disk + "/work"),
        ]
    }

    /// Volumes and binds, which its VM gets through a share.
    var hostMounts: [ContainerRecord.Mount] { record.mounts.filter { $0.type != "tmpfs" } }

    /// The mounts with their sources as the VM's warden finds them.
    var guestMounts: [ContainerRecord.Mount] {
        var number = 0
        return record.mounts.map { mount in
            guard mount.type != "tmpfs" else { return mount }
            defer { number += 1 }
            var mount = mount
            mount.source = "\(guestFolder.share)/\(number)"
            return mount
        }
    }

    /// Where the files bound over /etc lie in the VM.
    var guestEtcFiles: [(source: String, destination: String)] {
        etcFiles.map { (guestEtcFile($0), "/etc/" + $0) }
    }

    func guestEtcFile(_ name: String) -> String { guestFolder.file(name) }

    /// The files bound over /etc, for the operation `configure`.
    var guestFiles: JSON {
        get throws {
            let directory = directory
            return JSON(
                try etcFiles.map { name -> JSON in
                    let content = try FileContents.read(directory + "/" + name)
                    return [
                        "path": JSON(guestEtcFile(name)), "content": JSON(String(decoding: content, as: UTF8.self)),
                    ]
                })
        }
    }

    /// Starts the VM and makes it this container's: disks, network, names, time.
    func startMachine(_ prepared: PreparedStart) async throws {
        if let pod { return try await enter(pod) }
        var times = StepTimes()
        let endpoints = await engine.networks.endpoints(of: id)
        let (machine, isNew) = try await cloneMachine(resources: prepared.hostResources, &times)
        await take(machine)
        var configuration: JSON = [
            "hostname": prepared.spec["hostname"],
            "interfaces": JSON(try await plugCards(of: machine, into: endpoints)),
            "sysctls": JSON(prepared.networkSysctls),
        ]
        for (key, value) in try fileConfiguration(isNew: isNew).object?.members ?? [] { configuration[key] = value }
        let answer = try await machine.request("configure", configuration, seconds: Container.configureDeadline)
        logPort = answer["ports"][MachineCommand.logPort].string
        times.end("configure")
        engine.log.debug("VM of container \(Identifier.short(id)): \(times); in it, us: \(answer["took"].text)")
    }

    static let configureDeadline = 60.0

    /// Starts the VM for nothing but the stopped container's disk.
    func startDiskMachine() async throws -> VirtualMachine {
        var times = StepTimes()
        let (machine, isNew) = try await cloneMachine(resources: [:], &times)
        await containers.noteMachine(machine.id, of: id)
        do {
            try await machine.request(
                "configure", try fileConfiguration(isNew: isNew), seconds: Container.configureDeadline)
        } catch {
            await end(machine, keepsDisk: false)
            throw error
        }
        times.end("configure")
        engine.log.debug("VM for the files of a container: \(times)", ["container": id])
        return machine
    }

    /// Starts the VM for nothing but the stopped container's files, and holds those.
    func startFilesMachine() async throws -> VirtualMachine {
        let machine = try await startDiskMachine()
        do {
            try await machine.request(
                "hold", ["id": JSON(id), "rootfs": guestRootFileSystem, "mounts": guestFileMounts],
                seconds: Container.configureDeadline)
        } catch {
            await end(machine, keepsDisk: false)
            throw error
        }
        return machine
    }

    /// Makes the disk when its size was chosen; otherwise it comes with the VM.
    private func makeSizedDisk() async throws {
        guard let text = record.hostConfig["StorageOpt"]["size"].string, access(diskPath, F_OK) != 0 else { return }
        let (path, bytes) = (diskPath, try ByteSize.parse(text))
        try await engine.threads.run { try DiskImage.format(path, bytes: bytes) }
    }

    /// The bytes the container wrote over its image: asked of its VM, or known from when that ended.
    func machineWrittenBytes() async -> Int64 {
        guard let machine, record.state.status == .running else { return record.machineWritten }
        // One that does not answer now has told nothing new.
        guard let answer = try? await machine.request("written", seconds: 5), let bytes = answer["bytes"].int else {
            return record.machineWritten
        }
        return bytes
    }

    /// The VM it is started in.
    var machineShape: MachineShape {
        MachineShape(
            memoryLimit: record.hostConfig["Memory"].int ?? 0,
            processors: Double(record.hostConfig["NanoCpus"].int ?? 0) / 1e9, available: HostFacts.onlineCPUs,
            kernel: record.hostConfig["Annotations"][MachineLimits.kernelAnnotation].string ?? "")
    }

    /// A VM with the container's disks and folders, which its warden does not know yet.
    ///
    /// - Returns: also whether the container has written nothing so far.
    func cloneMachine(
        resources: JSON, _ times: inout StepTimes
    ) async throws -> (VirtualMachine, isNew: Bool) {
        let image = try await engine.images.find(record.imageID)
        let layers = await engine.images.layerPaths(of: image)
        let (root, disk) = (engine.machines.rootImage(of: image), diskPath)
        let log = logSettings
        try await makeSizedDisk()
        let isNew = access(disk, F_OK) != 0
        try await engine.machines.makeRootImage(root, layers: layers)
        times.end("image")
        let shape = machineShape
        (record.machineMemory, record.machineProcessors) = (shape.memory, shape.processors)
        let machine = try await engine.machines.start(
            VirtualMachines.Request(
                shape: shape, root: root, disk: disk, log: log.isNull ? nil : (id, log), resources: resources,
                shares: hostMounts.map { HostShare(source: $0.source, isReadOnly: $0.isReadOnly) },
                isCold: record.hostConfig["Annotations"][MachineLimits.startAnnotation] == "cold",
                cgroupParent: cgroupParent)
        ) { [containers, id] event in Task { await containers.handleGuest(event, of: id) } }
        times.end("clone")
        return (machine, isNew)
    }

    /// What a VM needs to reach the container's files.
    func fileConfiguration(isNew: Bool) throws -> JSON {
        var random = SystemRandomNumberGenerator()
        let entropy = (0..<64).map { _ in UInt8.random(in: 0...255, using: &random) }
        let image: JSON = [
            "serial": JSON(MachineCommand.rootDisk), "type": "squashfs", "path": JSON(guestFolder.image),
            "readonly": true,
        ]
        // Over the empty one, which is the template's and mounted there; a new container keeps that.
        let written: JSON = [
            "serial": JSON(MachineCommand.writableDisk), "type": "ext4", "path": JSON(guestFolder.disk),
        ]
        var configuration: JSON = [
            "time": JSON(SystemClock.now().nanoseconds), "entropy": JSON(Base64.encode(entropy)),
            "disks": JSON(isNew ? [image] : [image, written]), "files": try guestFiles,
        ]
        if !hostMounts.isEmpty {
            configuration["share"] = ["tag": JSON(MachineCommand.share), "path": JSON(guestFolder.share)]
        }
        return configuration
    }

    /// Takes the VM away: after an exit, or when the start failed.
    ///
    /// - Parameter keepsDisk: whether what was written has to be on the disk; not when the container goes too.
    func stopMachine(keepsDisk: Bool) async {
        if let pod { return await leave(pod, keepsDisk: keepsDisk) }
        guard let machine else { return }
        await take(nil)
        await end(machine, keepsDisk: keepsDisk)
    }

    /// Takes the VM away that an exit which could not be stored has left, so that another daemon would learn of it.
    func stopLeftMachine(keepsDisk: Bool) async {
        if machine != nil, !record.state.isAlive { await stopMachine(keepsDisk: keepsDisk) }
    }

    /// Takes away what an earlier daemon left of a VM.
    func stopMachine(of id: String) async {
        await take(engine.machines.ended(id))
        await stopMachine(keepsDisk: false)
        try? await persist()  // the next daemon would do the same again
    }

    func end(_ machine: VirtualMachine, keepsDisk: Bool) async {
        // A guest that does not answer loses what it had not written, as a machine whose power fails.
        if keepsDisk, let written = try? await machine.halt(), written != record.machineWritten {
            record.machineWritten = written
            try? await persist()  // told again at the next stop
        }
        await containers.forgetMachine(machine.id)
        await machine.destroy(keepingConsoleAt: directory + "/console.log")
    }

    /// From now on it is in that VM, or in none.
    func take(_ machine: VirtualMachine?) async {
        self.machine = machine
        isStalled = false
        record.machineID = machine?.id ?? ""
        if let machine { await containers.noteMachine(machine.id, of: id) }
    }

    /// Its QEMU has ended, and it with it.
    func machineEnded(_ exit: Exit) async {
        // One that serves the stopped container's files: who uses them is told.
        if case .machine(let machine, _) = heldFiles?.site { return machine.ended() }
        guard let machine else { return }
        machine.ended()
        record.state.error = "its VM ended"
        await exited(Exit(code: 137, isOOMKilled: exit.isOOMKilled, time: exit.time))
    }

    /// The program that serves the host's folders to its VM has ended. Who waits for a file there waits for ever, and no signal
    /// changes that: the VM ends.
    func folderServerEnded() async {
        guard record.isolation == .microvm, let machine, machine.isAlive else { return }
        engine.log.error("the program that serves folders to a VM has ended; so does the VM", ["container": id])
        // It may have ended meanwhile.
        _ = try? await engine.warden.request("signal", ["id": JSON(machine.id), "signal": JSON(SIGKILL)])
    }

    /// The program that serves the host's folders may have ended while there was no daemon.
    func checkFolderServer() async {
        guard let machine else { return }
        let server = VirtualMachine.shareID(of: record.isolation == .pod ? id : machine.id)
        // One that the warden does not know has ended, too.
        let state = try? await engine.warden.request("state", ["id": JSON(server)])
        guard state?["status"].string != "running" else { return }
        if record.isolation == .pod { await memberFolderServerEnded() } else { await folderServerEnded() }
    }

    /// Finds the VM again after a restart of the daemon, and asks the warden in it.
    ///
    /// - Returns: what that says of the container; nil when it has ended or does not answer.
    func readoptMachine(_ observed: JSON?) async -> JSON? {
        if record.isolation == .pod { return await rejoinPod() }
        guard let observed, observed["status"].string == "running" || observed["status"].string == "paused" else {
            // What there still is of the VM goes with the exit that follows.
            if !record.machineID.isEmpty { await take(engine.machines.ended(record.machineID)) }
            return nil
        }
        let machine = await engine.machines.adopt(record.machineID, pid: Int32(clamping: observed["pid"].int ?? 0))
        await take(machine)
        let containers = containers
        machine.setEventHandler { [id] event in Task { await containers.handleGuest(event, of: id) } }
        if observed["status"].string == "paused" {
            // It answers when it goes on, however long that takes.
            Task { await self.meetAgain(machine) }
            return observed
        }
        do {
            let control = machine.control
            if await standsStill(machine) {
                Task { await self.meetAgain(machine) }
                return observed
            }
            try await engine.threads.run { try control.proceedIfStopped() }
            try await machine.connect(seconds: 30)
            return try await stateAfterCapture(machine)
        } catch {
            engine.log.error("the VM of a container does not answer", ["container": id, "error": "\(error)"])
            record.state.error = "\(error)"
            return nil
        }
    }

    /// Waits for a VM that is paused or stands still.
    private func meetAgain(_ machine: VirtualMachine) async {
        do { try await machine.meetAgain() } catch {
            engine.log.error("the VM of a container does not answer", ["container": id, "error": "\(error)"])
        }
    }
}
