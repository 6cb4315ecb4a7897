import Base
import Images
import Kernel
import Machines
import Networks

/// A container in a VM that others are in too.
extension Container {
    /// The container's place in its pod is kept from now on; its names and addresses are the pod's.
    ///
    /// - Returns: whether the pod has a network.
    func joinPod() async throws -> Bool {
        let pod = try await containers.pods.find(record.podID)
        let hasNetwork = try await pod.admit(id)
        self.pod = pod
        guard hasNetwork else { return false }
        let aliases = record.networks.members.first?.value["Aliases"].strings ?? []
        try await engine.networks.join(
            containerID: id, pod: pod.id, names: [record.name] + aliases + [Identifier.short(id)])
        return true
    }

    /// Brings disks, log and folders into the pod's VM.
    func enter(_ pod: Pod) async throws {
        let image = try await engine.images.find(record.imageID)
        let root = engine.machines.rootImage(of: image)
        try await engine.machines.makeRootImage(root, layers: await engine.images.layerPaths(of: image))
        let entered = try await pod.enter(
            Pod.Member(
                id: id, root: root, disk: diskPath, log: logSettings,
                shares: hostMounts.map { HostShare(source: $0.source, isReadOnly: $0.isReadOnly) },
                files: try guestFiles))
        machine = entered.machine
        logPort = entered.logPort
        let shape = await pod.snapshot.shape
        (record.machineMemory, record.machineProcessors) = (shape.memory, shape.processors)
    }

    func leave(_ pod: Pod, keepsDisk: Bool) async {
        await pod.leave(id, keepsDisk: keepsDisk, waits: record.hostConfig["AutoRemove"].bool != true)
        self.pod = nil
        machine = nil
        isStalled = false
    }

    /// The pod's QEMU has ended, and the container with it.
    func podEnded(_ exit: Exit) async {
        guard machine != nil else { return }
        record.state.error = await pod?.endReason ?? Pod.usualEnd
        await exited(Exit(code: 137, isOOMKilled: exit.isOOMKilled, time: exit.time))
    }

    /// The program that serves folders of the host to it has ended. Who waits for a file there waits for ever, and nothing in the guest
    /// changes that: the VM ends, with all that is in it.
    func memberFolderServerEnded() async {
        guard let pod, let machine, machine.isAlive, record.state.isAlive else { return }
        let text = "its VM ended, since the program that served folders of the host to container \(record.name) did"
        engine.log.error("pod \(pod.name): \(text)")
        await pod.kill(because: text)
    }

    /// Finds the pod's VM again after a restart of the daemon.
    ///
    /// - Returns: what the warden there says of the container; nil when it has gone.
    func rejoinPod() async -> JSON? {
        // When the pod is gone, so is what ran in it.
        guard let pod = try? await containers.pods.find(record.podID), let found = await pod.readmit(id) else {
            return nil
        }
        self.pod = pod
        machine = found.machine
        if var state = found.state, await standsStill(found.machine) {
            if record.state.status == .paused { state["status"] = "paused" }
            return state
        }
        // The last daemon may have been killed while it took a snapshot. Fails only when the VM has ended.
        let disk: JSON = ["path": JSON(GuestFolder(of: id).disk)]
        if found.state != nil { _ = try? await found.machine.request("thaw", disk, seconds: 10) }
        return found.state
    }

    /// - Throws: `.invalid` with the reason when it would not fit into the pod any more.
    func checkPodUpdate(_ changes: JSON) async throws {
        try await containers.pods.find(record.podID).snapshot.check(memoryLimit: changes["Memory"].int ?? 0)
        try MachineLimits.check([:], changes, .pod)
    }
}
