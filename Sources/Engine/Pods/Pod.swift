import Base
import Glibc
import Kernel
import Machines
import Networks
import Store

/// One pod: a VM that several containers share, and its network. The one place that changes either.
///
///     admit ──▶ enter ──▶ (the container runs) ──▶ leave
///       │         │                                 │
///       │         └ the VM is started for the first └ and ends with the last
///       └ the network is made for the first
///
/// Steps hold `changes` and so never interleave. Whoever calls them holds his container's lifecycle lock: that one is always
/// taken first.
public actor Pod {
    public nonisolated let id: String
    public nonisolated let name: String
    let engine: EngineContext
    /// An event of the warden in its VM.
    let onEvent: @Sendable (JSON) -> Void
    let changes = AsyncLock()
    var record: PodRecord
    var machine: VirtualMachine?
    /// Containers between `admit` and `leave`.
    private(set) var present: Set<String> = []
    /// While it is taken back to a snapshot: what its next VM continues from.
    var comeback: PodReturn?
    /// Why the VM ends, or has ended, for those who are in it.
    var endReason = Pod.usualEnd
    /// Places that could not be emptied: they are the VM's until it ends.
    private var lost: Set<Int> = []
    /// What the VM's warden told of its containers when this daemon found it.
    private var found: [String: JSON] = [:]
    /// Containers that have a place there, and have not been heard of yet: the VM is kept for them.
    private var expected: Set<String> = []
    private var hasNetwork = false
    private var isRemoved = false
    private var previousAddress: String?

    /// What a container enters with.
    struct Member: Sendable {
        let id: String
        let root: String
        let disk: String
        let log: JSON
        let shares: [HostShare]
        /// The rest of `configure` for it: files.
        let files: JSON
    }

    static let usualEnd = "its VM ended"
    static let configureDeadline = 60.0
    static let dismissDeadline = 10.0

    init(record: PodRecord, engine: EngineContext, onEvent: @escaping @Sendable (JSON) -> Void) {
        id = record.id
        name = record.name
        self.record = record
        self.engine = engine
        self.onEvent = onEvent
    }

    public var snapshot: PodRecord { record }
    public var isRunning: Bool { machine?.isAlive ?? false }
    var directory: String { engine.configuration.podDirectory(id) }

    /// Writes the record to the store.
    func persist() async throws {
        guard !isRemoved else { return }
        record.networkState = hasNetwork ? await engine.networks.document(of: id) : .null
        try await engine.store.put("pod", id, record.json)
    }

    func publish(_ action: String) {
        var all = record.labels
        all["name"] = name
        engine.events.publish("pod", action, id, all)
    }

    // MARK: make and remove

    /// Notes it in the store; one that was made by itself also gets its address, and keeps it.
    func make() async throws {
        try await changes.withLock {
            do {
                let path = directory
                try await engine.threads.run { try FileContents.makeDirectories(path, mode: 0o711) }
                if !record.isOnDemand { try await makeNetwork() }
                try await persist()
            } catch {
                await discard()
                throw error
            }
            publish("create")
        }
    }

    /// Nobody is in it.
    func remove() async {
        await changes.withLock {
            await stopMachine(keepsDisks: false)
            await discard()
            publish("destroy")
        }
    }

    private func discard() async {
        isRemoved = true
        await removeNetwork()
        // What stays is removed when the daemon starts next.
        try? await engine.store.remove("pod", id)
        let path = directory
        try? await engine.threads.run { try FileContents.removeTree(path) }
    }

    // MARK: network

    private func makeNetwork() async throws {
        guard !hasNetwork, record.network != "none" else { return }
        let network = try await engine.networks.find(record.network)
        await engine.networks.makeMachine(containerID: id)
        do {
            let wanted = record.endpoint["IPAMConfig"]
            func text(_ json: JSON) -> String? { json.string.flatMap { $0.isEmpty ? nil : $0 } }
            var request = EndpointRequest(
                networkID: network.id, containerName: name, aliases: [], ipv4: text(wanted["IPv4Address"]),
                ipv6: text(wanted["IPv6Address"]), macAddress: text(record.endpoint["MacAddress"]), rate: nil)
            request.previousIPv4 = previousAddress
            previousAddress = try await engine.networks.connect(containerID: id, request).ipv4
            let ports = try PortBindings.published(hostConfig: ["PortBindings": record.ports], config: [:])
            if !ports.isEmpty { _ = try await engine.networks.publish(containerID: id, ports: ports) }
            hasNetwork = true
        } catch {
            await engine.networks.destroySandbox(id)
            throw error
        }
    }

    /// The address it had last, or has; nil before its first.
    var address: String? { previousAddress }

    /// What it takes if nobody has it; one that had an address keeps that.
    func prefer(address: String) { previousAddress = previousAddress ?? address }

    private func removeNetwork() async {
        guard hasNetwork else { return }
        hasNetwork = false
        await engine.networks.destroySandbox(id)
    }

    // MARK: containers come and go

    /// From now on the pod is kept for this container; its network is there.
    ///
    /// - Returns: whether it has one.
    func admit(_ container: String) async throws -> Bool {
        try await changes.withLock {
            guard !isRemoved else { throw SkalaError(.notFound, "No such pod: \(name)") }
            try await makeNetwork()
            present.insert(container)
            return hasNetwork
        }
    }

    /// Puts what a container has into the VM, which is started for the first.
    ///
    /// - Returns: the VM, and the port there for the container's output.
    func enter(_ member: Member) async throws -> (machine: VirtualMachine, logPort: String?) {
        try await changes.withLock {
            guard present.contains(member.id), record.places[member.id] == nil else {
                throw SkalaError(.conflict, "container \(Identifier.short(member.id)) is leaving pod \(name)")
            }
            var times = StepTimes()
            let machine = try await runningMachine()
            times.end("VM")
            let place = try freePlace()
            record.places[member.id] = place.number
            // Before anything is put there: who finds this after a crash empties it.
            try await persist()
            let shape = record.shape
            try await engine.machines.plug(
                VirtualMachines.Member(
                    id: member.id, place: place, root: member.root, disk: member.disk, log: member.log,
                    shares: member.shares), into: machine, shape: shape)
            times.end("plug")
            let folder = GuestFolder(of: member.id)
            var configuration: JSON = [
                "files": member.files,
                "disks": [
                    [
                        "serial": JSON(place.rootDisk), "type": "squashfs", "path": JSON(folder.image),
                        "readonly": true,
                    ],
                    ["serial": JSON(place.writableDisk), "type": "ext4", "path": JSON(folder.disk)],
                ],
            ]
            if !member.shares.isEmpty {
                configuration["share"] = ["tag": JSON(place.share), "path": JSON(folder.share)]
            }
            let answer = try await machine.request(
                "configure", configuration, seconds: Pod.configureDeadline)
            times.end("configure")
            engine.log.debug("pod \(name): \(times); in it, us: \(answer["took"].text)")
            return (machine, answer["ports"][place.logPort].string)
        }
    }

    private func freePlace() throws(SkalaError) -> MachinePlace {
        let taken = lost.union(record.places.values)
        guard let place = MachinePlace.all.first(where: { !taken.contains($0.number) }) else {
            throw SkalaError(
                .exhausted, "pod \(name) is full: a VM has places for \(MachinePlace.count) running containers")
        }
        return place
    }

    private func runningMachine() async throws -> VirtualMachine {
        if let machine, machine.isAlive { return machine }
        // It ended, and those who were in it have not all left yet.
        await stopMachine(keepsDisks: false)
        let machine = try await engine.machines.startPod(record.shape, onEvent: onEvent)
        self.machine = machine
        record.machineID = machine.id
        try await introduce(machine, isNew: true)
        publish("start")
        return machine
    }

    /// A container has ended, or did not start: takes out what it had. The last one's end is the VM's.
    ///
    /// - Parameters:
    ///   - keepsDisk: whether what was written has to be on the disk.
    ///   - waits: until its place is empty; not for a container that goes, too.
    func leave(_ container: String, keepsDisk: Bool, waits: Bool) async {
        let emptying = await changes.withLock { () -> Task<Void, Never>? in
            guard present.remove(container) != nil else { return nil }
            guard present.isEmpty else { return Task { await self.empty(container) } }
            await stopMachine(keepsDisks: keepsDisk)
            if record.isOnDemand { await removeNetwork() }
            await note("that container \(Identifier.short(container)) left")
            return nil
        }
        if waits { await emptying?.value }
    }

    /// Writes the record where nobody can be told that it failed.
    private func note(_ what: String) async {
        do {
            try await persist()
        } catch { engine.log.error("cannot record of pod \(name) \(what)", ["error": "\(error)"]) }
    }

    /// Empties the place of a container in a VM that goes on. Until then the place is taken.
    private func empty(_ container: String) async {
        guard let number = record.places[container], let machine, machine.isAlive else { return }
        let place = MachinePlace.all[number]
        do {
            // Its start may have failed before the warden knew of it.
            _ = try? await machine.request("delete", ["id": JSON(container)], seconds: Pod.dismissDeadline)
            try await dismiss(container, place, machine)
            try await engine.machines.unplug(place, of: container, from: machine)
            guard self.machine === machine else { return }
            record.places[container] = nil
        } catch {
            // The VM ended meanwhile, and all its places with it.
            guard self.machine === machine, machine.isAlive else { return }
            // What the guest may still use is not taken from it, and nobody else gets it.
            record.places[container] = nil
            lost.insert(number)
            engine.log.error(
                "pod \(name) keeps the place of container \(Identifier.short(container))", ["error": "\(error)"])
        }
        await note("that a place is empty")
    }

    /// Makes the guest let go of a place. The kernel may take a moment to free what an ended container had mounted.
    private func dismiss(_ container: String, _ place: MachinePlace, _ machine: VirtualMachine) async throws {
        let request: JSON = [
            "folder": JSON(GuestFolder(of: container).path),
            "disks": [JSON(place.rootDisk), JSON(place.writableDisk)], "slot": JSON(place.shareSlot),
        ]
        for delay in [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000] as [UInt64] {
            do {
                try await machine.request("dismiss", request, seconds: Pod.dismissDeadline)
                return
            } catch let error as SkalaError where error.code == .conflict {
                try await Task.sleep(nanoseconds: delay * 1_000_000)
            }
        }
        try await machine.request("dismiss", request, seconds: Pod.dismissDeadline)
    }

    func stopMachine(keepsDisks: Bool) async {
        guard let machine else { return }
        self.machine = nil
        let members = record.places.keys
        record.machineID = ""
        record.places = [:]
        lost = []
        endReason = Pod.usualEnd
        // A guest that does not answer loses what it had not written, as a machine whose power fails.
        if keepsDisks, machine.isAlive { _ = try? await machine.halt() }
        await machine.destroy(keepingConsoleAt: directory + "/console.log")
        for member in members { await engine.machines.endShare(of: member) }
        await engine.networks.unplug(containerID: id)
        publish("stop")
    }

    // MARK: the VM's end, and the daemon's

    /// Its QEMU has ended.
    ///
    /// - Returns: the containers that were in it.
    func machineEnded() -> [String] {
        machine?.ended()
        return Array(present)
    }

    /// Finds the VM again after a restart of the daemon, and asks the warden in it.
    ///
    /// - Parameter observed: what the host's warden says of the VM.
    func restore(_ observed: JSON?) async {
        hasNetwork = !record.networkState.isNull
        await removeHalfMade()
        guard !record.machineID.isEmpty else { return }
        let machine = await engine.machines.adopt(
            record.machineID, pid: Int32(clamping: observed?["pid"].int ?? 0))
        self.machine = machine
        expected = Set(record.places.keys)
        present = expected
        guard observed?["status"].string == "running" else { return machine.ended() }
        machine.setEventHandler(onEvent)
        if await engine.standsStill(machine) {
            // Nobody in there tells before there is room. What ran then has not ended since.
            for id in record.places.keys { found[id] = ["id": JSON(id), "status": "running"] }
            Task { await self.meetAgain(machine) }
            return
        }
        do {
            // The last daemon may have been killed while it captured the pod.
            let control = machine.control
            try await engine.threads.run { try control.proceedIfStopped() }
            try await machine.connect(seconds: 30)
            for state in try await machine.request("list")["containers"].array ?? [] {
                if let id = state["id"].string { found[id] = state }
            }
        } catch {
            engine.log.error("the VM of pod \(name) does not answer", ["error": "\(error)"])
            machine.ended()
        }
    }

    /// Waits for a VM that stands still.
    private func meetAgain(_ machine: VirtualMachine) async {
        do { try await machine.meetAgain() } catch {
            engine.log.error("the VM of pod \(name) does not answer", ["error": "\(error)"])
        }
    }

    /// A container that was in it when the last daemon ended.
    ///
    /// - Returns: the VM, and what its warden says of the container; nil when it has gone.
    func readmit(_ container: String) -> (machine: VirtualMachine, state: JSON?)? {
        guard let machine, record.places[container] != nil else { return nil }
        expected.remove(container)
        return (machine, machine.isAlive ? found[container] : nil)
    }

    /// All containers are known again: what belongs to none of them goes.
    func completeRestore() async {
        await changes.withLock {
            let strangers = expected
            (found, expected) = ([:], [])
            present.subtract(strangers)
            if present.isEmpty {
                await stopMachine(keepsDisks: true)
                if record.isOnDemand { await removeNetwork() }
            }
            for container in strangers.sorted() { await empty(container) }
            do {
                // It had none when the last daemon was killed while making it.
                if !record.isOnDemand { try await makeNetwork() }
                try await persist()
            } catch { engine.log.error("cannot restore pod \(name)", ["error": "\(error)"]) }
        }
    }
}
