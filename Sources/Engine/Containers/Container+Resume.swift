import Base
import Glibc
import Images
import Kernel
import Machines
import Networks

/// What a VM continues from when it is started.
struct Resumption: Sendable {
    let files: MachineSnapshot
    let machine: Snapshot.Machine
}

extension Container {
    /// Starts the instance so that its VM continues from the snapshot. With `lifecycle` held.
    func start(from resumption: Resumption) async throws {
        self.resumption = resumption
        defer { self.resumption = nil }
        record.hasBeenManuallyStopped = false
        let result: Result<Void, any Error>
        do { result = .success(try await startLocked()) } catch { result = .failure(error) }
        try result.get()
    }

    /// The VM continues, and then is told who and where it is, and what time it is; only then its container goes on.
    func resume(_ prepared: PreparedStart, _ resumption: Resumption) async throws {
        var times = StepTimes()
        let saved = resumption.machine
        let image = try await engine.images.find(record.imageID)
        let layers = await engine.images.layerPaths(of: image)
        let root = engine.machines.rootImage(of: image)
        try await engine.machines.makeRootImage(root, layers: layers)
        let log = logSettings
        (record.machineMemory, record.machineProcessors) = (saved.shape.memory, saved.shape.processors)
        let machine = try await engine.machines.resume(
            resumption.files, saved,
            VirtualMachines.Request(
                shape: saved.shape, root: root, disk: diskPath, log: log.isNull ? nil : (id, log),
                resources: prepared.hostResources, shares: [], isCold: false, cgroupParent: cgroupParent)
        ) { [containers, id] event in Task { await containers.handleGuest(event, of: id) } }
        times.end("VM")
        await take(machine)
        let endpoints = await engine.networks.endpoints(of: id)
        var configuration: JSON = [
            "hostname": prepared.spec["hostname"], "sysctls": JSON(prepared.networkSysctls),
            "interfaces": JSON(Container.resumedCards(saved.cards, endpoints)),
        ]
        for (key, value) in try fileConfiguration(isNew: true).object?.members ?? [] where key != "disks" {
            configuration[key] = value
        }
        try await machine.request("configure", configuration, seconds: Container.configureDeadline)
        var identity: JSON = ["id": JSON(saved.guestID), "to": JSON(id), "hostname": prepared.spec["hostname"]]
        if saved.guestID != id { identity["machineID"] = JSON(String(Identifier.make().prefix(32))) }
        try await machine.request("identify", identity, seconds: Container.configureDeadline)
        // Not before: it would answer for the addresses it had.
        try await plugResumedCards(of: machine, saved.cards, endpoints)
        // Once more, now that its code has run: the first time it may have taken a while to hear it.
        let time: JSON = ["time": JSON(SystemClock.now().nanoseconds)]
        try await machine.request("configure", time, seconds: Container.configureDeadline)
        wardenGeneration = machine.generation
        try await machine.request("resume", ["id": JSON(id)], seconds: Container.configureDeadline)
        goesOn(in: machine)
        times.end("identity")
        engine.log.debug("VM of a container: \(times)", ["container": id])
    }

    /// It runs in that VM as it did; nobody is attached to it.
    func goesOn(in machine: VirtualMachine) {
        for attachment in pendingAttachments { attachment.stream.end() }
        pendingAttachments = []
        record.state = ContainerState()
        record.state.status = .running
        record.state.pid = machine.pid
        record.state.startedAt = SystemClock.now()
    }
}
