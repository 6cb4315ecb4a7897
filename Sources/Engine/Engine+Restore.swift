import Base
import Images
import Kernel
import Networks
import Store

extension Engine {
    /// Takes over what is there: the store's containers and networks, and what the warden runs or has seen ending while
    /// no daemon was there.
    func restore() async throws {
        let containers = containers
        // What ends while we take over has to wait: its container may not be known yet.
        let (events, queue) = AsyncStream.makeStream(of: JSON.self)
        let isNewWarden = try await context.warden.start(
            onEvent: { queue.yield($0) }, onReplaced: { Task { await containers.wardenReplaced() } })
        let listed = try await context.warden.request("list")["containers"].array ?? []
        var running: [String: JSON] = [:]
        for container in listed { if let id = container["id"].string { running[id] = container } }

        let networks = try await context.store.all("network").map { try Network(json: $0.body) }
        let pods = try await context.store.all("pod").map { try PodRecord(json: $0.body) }
        var sandboxes: [String: JSON] = [:]
        for pod in pods where !pod.networkState.isNull { sandboxes[pod.id] = pod.networkState }
        let podMachines = Dictionary(uniqueKeysWithValues: pods.map { ($0.id, $0.machineID) })
        var records: [ContainerRecord] = []
        for (_, body) in try await context.store.all("container") {
            let record = try ContainerRecord(json: body)
            records.append(record)
            let status = running[podMachines[record.podID] ?? record.hostID]?["status"].string
            if record.state.isAlive, status == "running" || status == "paused", !record.networkState.isNull {
                sandboxes[record.id] = record.networkState
            }
        }
        for problem in try await context.networks.restore(networks: networks, endpoints: sandboxes) {
            log.error(problem)
        }
        for machine in await containers.pods.restore(pods, running: running) { running[machine] = nil }
        for record in records {
            await containers.restore(record, observed: running.removeValue(forKey: record.hostID))
        }
        // The servers of VMs' shares belong to their VMs.
        for record in records { running[VirtualMachine.shareID(of: record.hostID)] = nil }
        await containers.pods.completeRestore()
        // What the warden has and the store does not: a removal, or a creation, that a kill cut short.
        for id in running.keys.sorted() { _ = try? await context.warden.request("delete", ["id": JSON(id)]) }
        try await context.machines.removeStrays(
            known: Set(records.map { $0.isolation == .machine ? $0.id : $0.machineID } + pods.map(\.machineID)))
        try await removeStrayFolders("containers", known: Set(records.map(\.id)))
        try await removeStrayFolders("pods", known: Set(pods.map(\.id)))
        log.info("\(records.count) containers, \(listed.count) under the \(isNewWarden ? "new" : "running") warden")
        Task {
            // Each on its own: taking in one container's end must not hold up another's.
            for await event in events { Task { await containers.handleHost(event) } }
        }
        await containers.startThoseThatShouldRun()
    }

    private func removeStrayFolders(_ kind: String, known: Set<String>) async throws {
        let root = configuration.dataRoot + "/" + kind
        try await threads.run {
            for name in try FileContents.names(in: root) where !known.contains(name) {
                try FileContents.removeTree(root + "/" + name)
            }
        }
    }
}

extension Containers {
    /// Takes a container of the store over, with what the warden says of it.
    func restore(_ record: ContainerRecord, observed: JSON?) async {
        let container = Container(record: record, engine: engine, containers: self)
        await container.removeHalfMade()
        adopt(container, name: record.name)
        await pods.adopt(record.id, of: record.podID)
        await engine.images.retain(image: record.imageID, holder: record.id)
        if record.state.isAlive, let cores = try? CPUSet(parsing: record.dedicatedCores), !cores.isEmpty {
            adoptCores(record.id, cores)  // written by ourselves, so that it parses
        }
        for mount in record.mounts where mount.type == "volume" {
            await engine.volumes.retain(mount.name, holder: record.id)
        }
        await container.reconcile(observed)
    }

    /// An event of the host's warden: of a container, or of a container's VM. Others are those of spare VMs, which are
    /// asked whether they still run when they are needed.
    func handleHost(_ event: JSON) async {
        guard let id = event["id"].string else { return }
        if await pods.handleHost(event) { return }
        guard let owner = machineOwner(id) else {
            if event["event"].string == "exit", let owner = machineOwner(VirtualMachine.shareID(of: id)) {
                await existing(owner)?.folderServerEnded()
                return
            }
            // Of a container in a pod it is told from that one's id.
            if event["event"].string == "exit", let member = existing(VirtualMachine.shareID(of: id)) {
                return await member.memberFolderServerEnded()
            }
            return await handle(event)
        }
        if event["event"].string == "exit" { await existing(owner)?.machineEnded(Container.Exit(event)) }
    }

    /// An event of the warden in a container's VM: not trusted to speak of others.
    func handleGuest(_ event: JSON, of id: String) async {
        if event["id"].string == id { await handle(event) }
    }

    /// An event of a container's warden.
    func handle(_ event: JSON) async {
        guard let id = event["id"].string, let container = existing(id) else { return }
        switch event["event"].string {
        case "exit":
            if let exec = event["exec"].string {
                await container.execExited(exec, code: event["exitCode"].int ?? 0)
            } else {
                await container.exited(Container.Exit(event))
            }
        case "oom": await container.publish("oom")
        default: break
        }
    }

    /// The warden died, and every container with it; but not those that were started under the new one since.
    func wardenReplaced() async {
        let generation = engine.warden.generation
        for container in all() where await container.wardenGeneration < generation { await container.reconcile(nil) }
    }

    func startThoseThatShouldRun() async {
        for container in all() {
            do {
                try await container.startIfPolicySays()
            } catch { engine.log.error("cannot start container \(container.id)", ["error": "\(error)"]) }
        }
    }
}

extension Container.Exit {
    init(_ json: JSON) {
        self.init(
            code: json["exitCode"].int ?? 0, isOOMKilled: json["oomKilled"].bool ?? false,
            time: Timestamp(nanoseconds: json["time"].int ?? json["finishedAt"].int ?? SystemClock.now().nanoseconds))
    }
}

extension Container {
    /// Brings the record in line with what the warden says; nil when it knows nothing of the container.
    func reconcile(_ found: JSON?) async {
        // Of a container in a VM the host's warden knows the VM.
        let observed = !record.isolation.hasOwnWarden || !record.state.isAlive ? found : await readoptMachine(found)
        let status = observed?["status"].string
        if record.state.isAlive, status == "running" || status == "paused" {
            wardenGeneration = engine.warden.generation
            let isPaused = await isPaused(status)
            record.state.status = isPaused ? .paused : .running
            record.state.pid = machine?.pid ?? Int32(clamping: observed?["pid"].int ?? 0)
            if record.state.startedAt == nil { record.state.startedAt = SystemClock.now() }
            startHealthMonitor()
            if machine != nil, !hostMounts.isEmpty { Task { await checkFolderServer() } }
            if record.isolation == .machine, !isPaused { await endMachineCapture() }
        } else if record.state.isAlive {
            wasRunningBefore = true
            if let observed, status == "stopped" {
                await exited(Exit(observed))
            } else {
                if record.state.error.isEmpty { record.state.error = "the warden ended, and this container with it" }
                await exited(Exit(code: 137, isOOMKilled: false, isLost: true, time: SystemClock.now()))
            }
        } else if record.isolation.hasOwnWarden, !record.machineID.isEmpty {
            // It ended, or did not start, and the daemon was killed before its VM was taken away.
            await stopMachine(of: record.machineID)
        } else if observed != nil {
            // Its start was never recorded, nor answered, and its network is not known: it did not start.
            _ = try? await engine.warden.request("delete", ["id": JSON(id)])
            cleanUpDiskMachine()
        }
        if record.state.status == .restarting, restartTask == nil { record.state.status = .exited }
    }

    func startIfPolicySays() async throws {
        let policy = RestartPolicy(record.hostConfig["RestartPolicy"])
        guard !record.state.isAlive, record.state.status != .restarting, record.state.status != .created,
            policy.startsWithDaemon(wasRunning: wasRunningBefore, wasStoppedByUser: record.hasBeenManuallyStopped)
        else { return }
        try await start()
    }
}
