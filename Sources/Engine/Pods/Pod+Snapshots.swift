import Base
import Glibc
import Kernel
import Machines

extension Pod {
    var snapshotFolder: String { directory + "/snapshots" }

    /// Captures the VM and the disks of those containers; their lifecycles are held.
    func takeSnapshot(name: String?, _ members: [Container], report: ProgressReport) async throws -> String {
        try await changes.withLock {
            guard let machine, machine.isAlive else { throw VirtualMachine.gone }
            var number = record.snapshots.count + 1
            while record.snapshots.contains(where: { $0.name == "s\(number)" }) { number += 1 }
            let name = name ?? "s\(number)"
            try Snapshot.check(name: name)
            guard !record.snapshots.contains(where: { $0.name == name }) else {
                throw SkalaError(.conflict, "pod \(self.name) has a snapshot '\(name)' already")
            }
            guard record.snapshots.count < PodSnapshot.limit else {
                throw SkalaError(.exhausted, "pod \(self.name) has \(PodSnapshot.limit) snapshots: remove some")
            }
            report("Taking snapshot \(name) of pod \(self.name)")
            var kept: [PodSnapshot.Member] = []
            for member in members {
                guard let place = record.places[member.id] else { throw VirtualMachine.gone }
                kept.append(PodSnapshot.Member(id: member.id, name: await member.snapshot.name, place: place))
            }
            let (new, final, threads) = (snapshotFolder + "/.new", snapshotFolder + "/" + name, engine.threads)
            do {
                let accelerator = try await capture(machine, members, kept, into: new)
                let bytes = try await threads.run {
                    try DiskSync.tree(new)
                    return try DiskUsage.bytes(below: new, allocated: true)
                }
                try Container.checkNotCancelled()
                try checkErrno(Glibc.rename(new, final), "rename", final)
                record.snapshots.append(
                    PodSnapshot(
                        name: name, created: SystemClock.now(), bytes: bytes, accelerator: accelerator,
                        key: try engine.machines.snapshotKey(record.shape, accelerator), members: kept))
                do { try await persist() } catch {
                    record.snapshots.removeLast()
                    try? FileContents.removeTree(final)  // and when the daemon starts next
                    throw error
                }
            } catch {
                try? await threads.run { try FileContents.removeTree(new) }  // and when the daemon starts next
                throw error
            }
            publish("snapshot")
            return name
        }
    }

    private func capture(
        _ machine: VirtualMachine, _ members: [Container], _ kept: [PodSnapshot.Member], into folder: String
    ) async throws -> Accelerator {
        let (control, pid, bytes) = (machine.control, machine.pid, record.shape.memory)
        var disks: [(target: String, source: String)] = []
        for (container, member) in zip(members, kept) {
            disks.append((target: PodSnapshot.disk(member, in: folder), source: await container.diskPath))
        }
        let files = disks
        let accelerator = try await engine.threads.run {
            try FileContents.removeTree(folder)
            try FileContents.makeDirectories(folder, mode: 0o700)
            return try control.describe().accelerator
        }
        for container in members { await container.beginCapture() }
        // In the VM, too: nothing of them runs in a restored one before that knows what time it is.
        var frozen: [String] = []
        let result: Result<MachineControl.Capture, any Error>
        do {
            for container in members {
                try await machine.request("pause", ["id": JSON(container.id)], seconds: Container.configureDeadline)
                frozen.append(container.id)
            }
            let snapshot = MachineSnapshot(folder: folder)
            result = .success(
                try await engine.threads.run {
                    try control.captureShared(into: snapshot, pid: pid, bytes: bytes, disks: files)
                })
        } catch { result = .failure(error) }
        for id in frozen {
            // Fails only when the VM has ended.
            _ = try? await machine.request("resume", ["id": JSON(id)], seconds: Container.configureDeadline)
        }
        for container in members { await container.endCapture() }
        let capture = try result.get()
        engine.log.debug(
            "pod \(name) captured: its processors stood still for \(capture.pause) us; \(ByteSize.decimal(capture.ownMemory)) of memory"
        )
        return accelerator
    }

    func removeSnapshot(_ name: String) async throws {
        try await changes.withLock {
            guard record.snapshots.contains(where: { $0.name == name }) else { throw noSnapshot(name) }
            record.snapshots.removeAll { $0.name == name }
            try await persist()
            let folder = snapshotFolder + "/" + name
            try await engine.threads.run { try FileContents.removeTree(folder) }
            publish("snapshot-remove")
        }
    }

    private func noSnapshot(_ name: String) -> SkalaError {
        SkalaError(.notFound, "pod \(self.name) has no snapshot '\(name)'")
    }

    /// - Throws: `.notFound`; `.conflict` when it cannot be loaded here any more.
    func loadable(_ name: String) throws -> (PodSnapshot, folder: String) {
        guard let snapshot = record.snapshots.first(where: { $0.name == name }) else { throw noSnapshot(name) }
        guard try engine.machines.snapshotKey(record.shape, snapshot.accelerator) == snapshot.key else {
            throw SkalaError(
                .conflict, "the memory was saved by another version of QEMU or of Skala, or on another kernel")
        }
        return (snapshot, snapshotFolder + "/" + name)
    }

    /// The next VM continues from there. None runs now.
    func prepareReturn(_ comeback: PodReturn) { self.comeback = comeback }

    func endReturn(to name: String?) {
        comeback = nil
        if name != nil { publish("restore") }
    }

    /// A container that was in the snapshot goes on, in the VM that continues from there.
    ///
    /// - Parameter configuration: what is new in its files.
    func reenter(_ container: String, _ configuration: JSON) async throws -> VirtualMachine {
        try await changes.withLock {
            guard present.contains(container), let comeback else { throw VirtualMachine.gone }
            let machine = try await returnedMachine(comeback)
            try await machine.request("configure", configuration, seconds: Pod.configureDeadline)
            try await machine.request("resume", ["id": JSON(container)], seconds: Pod.configureDeadline)
            return machine
        }
    }

    private func returnedMachine(_ comeback: PodReturn) async throws -> VirtualMachine {
        if let machine, machine.isAlive { return machine }
        let machine = try await engine.machines.resumePod(
            MachineSnapshot(folder: comeback.folder), record.shape, comeback.snapshot.accelerator,
            members: comeback.members.map { member, place in
                VirtualMachines.Member(
                    id: member.id, place: MachinePlace.all[place], root: member.root, disk: member.disk,
                    log: member.log,
                    shares: [])
            }, onEvent: onEvent)
        self.machine = machine
        record.machineID = machine.id
        for (member, place) in comeback.members { record.places[member.id] = place }
        try await persist()
        try await introduce(machine, isNew: false)
        publish("start")
        return machine
    }

    /// Removes what a kill left of a snapshot that was not finished.
    func removeHalfMade() async {
        let (folder, known) = (snapshotFolder, Set(record.snapshots.map(\.name)))
        do {
            try await engine.threads.run {
                guard access(folder, F_OK) == 0 else { return }
                for name in try FileContents.names(in: folder) where !known.contains(name) {
                    try FileContents.removeTree(folder + "/" + name)
                }
            }
        } catch { engine.log.error("cannot tidy up a pod's snapshots", ["folder": folder, "error": "\(error)"]) }
    }
}
