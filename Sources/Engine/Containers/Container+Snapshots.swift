public import Base
import Glibc
import Kernel
import Machines

/// What an operation that takes time says meanwhile: a line for people.
public typealias ProgressReport = @Sendable (String) -> Void

/// Snapshots of an instance: its files, and of a VM that runs also memory and devices.
extension Container {
    var snapshotFolder: String { directory + "/snapshots" }

    /// The API's list of snapshots, oldest first.
    public func snapshotDocuments() -> [JSON] {
        record.snapshots.map { snapshot in
            [
                "Name": JSON(snapshot.name), "Created": JSON(snapshot.created.text), "Size": JSON(snapshot.bytes),
                "Parent": JSON(snapshot.parent), "Isolation": JSON(snapshot.isolation.rawValue),
                "Memory": JSON(snapshot.hasMemory), "Current": JSON(snapshot.name == record.currentSnapshot),
            ]
        }
    }

    /// - Throws: `.notFound`.
    func snapshot(_ name: String) throws(SkalaError) -> Snapshot {
        guard let snapshot = record.snapshots.first(where: { $0.name == name }) else {
            throw SkalaError(.notFound, "container \(record.name) has no snapshot '\(name)'")
        }
        return snapshot
    }

    /// Takes a snapshot. The instance stands still only while it is copied; a kill at any moment leaves none, or all of it.
    ///
    /// - Parameters:
    ///   - name: nil chooses one.
    ///   - filesOnly: leaves a running VM's memory out.
    /// - Returns: the name.
    /// - Throws: `.conflict` when the name is taken or the instance is paused; `.exhausted` when it has too many.
    public func takeSnapshot(name: String?, filesOnly: Bool, report: ProgressReport) async throws -> String {
        try await lifecycle.withLock {
            try checkCanBeCaptured()
            let name = name ?? Snapshot.freeName(among: record.snapshots)
            try Snapshot.check(name: name)
            guard !record.snapshots.contains(where: { $0.name == name }) else {
                throw SkalaError(.conflict, "container \(record.name) has a snapshot '\(name)' already")
            }
            guard record.snapshots.count < Snapshot.limit else {
                throw SkalaError(.exhausted, "container \(record.name) has \(Snapshot.limit) snapshots: remove some")
            }
            report("Taking snapshot \(name) of \(record.name)")
            let (folder, threads) = (snapshotFolder, engine.threads)
            try await withCapture(filesOnly: filesOnly, isKept: true) { captured, machine in
                let bytes = try await threads.run { try DiskUsage.bytes(below: captured, allocated: true) }
                try Container.checkNotCancelled()
                let snapshot = Snapshot(
                    name: name, created: SystemClock.now(), isolation: record.isolation,
                    parent: record.currentSnapshot, bytes: bytes, machine: machine)
                try checkErrno(Glibc.rename(captured, folder + "/" + name), "rename", folder + "/" + name)
                let before = record
                record.snapshots.append(snapshot)
                record.currentSnapshot = name
                do { try await persist() } catch {
                    (record.snapshots, record.currentSnapshot) = (before.snapshots, before.currentSnapshot)
                    Glibc.rename(folder + "/" + name, captured)
                    throw error
                }
            }
            publish("snapshot", ["snapshot": name])
            return name
        }
    }

    /// Removes a snapshot; those taken after it stay as they are.
    public func removeSnapshot(_ name: String) async throws {
        try await lifecycle.withLock {
            let removed = try snapshot(name)
            record.snapshots.removeAll { $0.name == name }
            for index in record.snapshots.indices where record.snapshots[index].parent == name {
                record.snapshots[index].parent = removed.parent
            }
            if record.currentSnapshot == name { record.currentSnapshot = removed.parent }
            try await persist()
            let folder = snapshotFolder + "/" + name
            try await engine.threads.run { try FileContents.removeTree(folder) }
            publish("snapshot-remove", ["snapshot": name])
        }
    }

    func checkCanBeCaptured() throws(SkalaError) {
        guard !isRemoved else { throw SkalaError(.notFound, "No such container: \(id)") }
        guard [.container, .microvm].contains(record.isolation) else {
            throw SkalaError(.unsupported, "snapshots are not there yet at isolation \(record.isolation.rawValue)")
        }
    }

    static func checkNotCancelled() throws(SkalaError) {
        if Task.isCancelled { throw SkalaError(.cancelled, "it was cancelled") }
    }

    // MARK: capture

    /// Captures the instance into a folder that is removed afterwards, unless `body` moves it. With `lifecycle` held.
    func withCapture<Value>(
        filesOnly: Bool, isKept: Bool, _ body: (_ folder: String, Snapshot.Machine?) async throws -> Value
    ) async throws -> Value {
        // No name of a snapshot begins so; what a kill leaves is removed when the daemon starts next.
        let folder = snapshotFolder + "/.new"
        let threads = engine.threads
        let result: Result<Value, any Error>
        do {
            try await threads.run {
                try FileContents.removeTree(folder)
                try FileContents.makeDirectories(folder, mode: 0o700)
            }
            let machine = try await capture(into: folder, filesOnly: filesOnly, isKept: isKept)
            result = .success(try await body(folder, machine))
        } catch { result = .failure(error) }
        do { try await threads.run { try FileContents.removeTree(folder) } } catch {
            engine.log.error("cannot remove \(folder): \(error)")
        }
        return try result.get()
    }

    private func capture(into folder: String, filesOnly: Bool, isKept: Bool) async throws -> Snapshot.Machine? {
        await exitCleanUp?.value
        if !record.state.isAlive { try await closeFiles() }
        guard record.isolation != .container else {
            try await captureFiles(into: folder)
            return nil
        }
        guard record.state.isAlive else {
            let (source, target) = (diskPath, MachineSnapshot(folder: folder).disk)
            try await engine.threads.run {
                if access(source, F_OK) == 0 { try DiskImage.copy(source, to: target) }
            }
            return nil
        }
        return try await captureMachine(into: MachineSnapshot(folder: folder), filesOnly: filesOnly, isKept: isKept)
    }

    /// Of a container on the host's kernel, frozen meanwhile.
    private func captureFiles(into folder: String) async throws {
        let freezes = record.state.status == .running
        isBeingCaptured = true
        defer { isBeingCaptured = false }
        if freezes { try await engine.warden.request("pause", ["id": JSON(id)]) }
        let result: Result<Void, any Error>
        do {
            result = .success(
                try await FolderCopy.copy(directory + "/upper", to: folder + "/upper", threads: engine.threads))
        } catch { result = .failure(error) }
        // Fails only when it has been killed.
        if freezes { _ = try? await engine.warden.request("resume", ["id": JSON(id)]) }
        try result.get()
    }

    private func captureMachine(into snapshot: MachineSnapshot, filesOnly: Bool, isKept: Bool) async throws -> Snapshot
        .Machine?
    {
        guard let machine else { throw VirtualMachine.gone }
        guard record.state.status == .running else {
            throw SkalaError(.conflict, "container \(record.name) is paused, and its VM with it: unpause it first")
        }
        guard filesOnly || hostMounts.isEmpty else {
            throw SkalaError(
                .invalid,
                "the memory of \(record.name) cannot be captured: its VM uses folders of the host, through a program whose "
                    + "state cannot be saved; take its files alone with --disk-only")
        }
        isBeingCaptured = true
        defer { isBeingCaptured = false }
        let (control, pid, threads) = (machine.control, machine.pid, engine.threads)
        let (shape, accelerator) = try await threads.run { try control.describe() }
        let hasMoreCards = try await threads.run { try !control.cards().isEmpty }
        guard filesOnly || !hasMoreCards else {
            throw SkalaError(
                .invalid,
                "the memory of \(record.name) cannot be captured: its VM has network cards that were plugged in; take its "
                    + "files alone with --disk-only")
        }
        let key = try engine.machines.snapshotKey(shape, accelerator)
        // So that the disk alone is of use too.
        if filesOnly || isKept { _ = try await helper(machine).document("sync", [:], limit: 64) }
        let memory =
            filesOnly
            ? nil
            : try await threads.run {
                try GuestMemory(pid: pid, bytes: shape.memory, path: snapshot.memory)
            }
        // In the VM, too: nothing of the container runs in a clone before that has an identity of its own.
        let began = SystemClock.monotonicNanoseconds()
        try await machine.request("pause", ["id": JSON(id)], seconds: Container.configureDeadline)
        let own = MachineFiles(id: machine.id, configuration: engine.configuration).disk
        let disk = diskPath
        let result: Result<(MachineControl.Capture, hasDisk: Bool), any Error>
        do {
            result = .success(
                try await threads.run {
                    let scratch = try MachineControl.openFile(of: pid, below: own)
                    var disks = [(target: snapshot.disk, source: disk)]
                    if let scratch, !filesOnly { disks.append((target: snapshot.scratch, source: scratch)) }
                    let capture = try control.capture(
                        into: snapshot, memory: memory, disks: disks)
                    return (capture, scratch != nil)
                })
        } catch { result = .failure(error) }
        // Fails only when the VM has ended.
        _ = try? await machine.request("resume", ["id": JSON(id)], seconds: Container.configureDeadline)
        let stood = (SystemClock.monotonicNanoseconds() - began) / 1000
        let (capture, hasDisk) = try result.get()
        engine.log.debug(
            "VM \(Identifier.short(machine.id)) captured: its processors stood still for \(capture.pause) us, its container for "
                + "\(stood) us; \(ByteSize.decimal(capture.ownMemory)) of its own memory")
        guard !filesOnly else { return nil }
        return Snapshot.Machine(
            shape: shape, accelerator: accelerator, key: key, hasDisk: hasDisk, guestID: id)
    }

    // MARK: after a kill

    /// Asks the warden of a VM that was found again; a capture that was under way when the daemon was killed is over.
    func stateAfterCapture(_ machine: VirtualMachine) async throws -> JSON {
        let state = try await machine.request("state", ["id": JSON(id)])
        guard state["status"].string == "paused" else { return state }
        _ = try await machine.request("resume", ["id": JSON(id)])
        return try await machine.request("state", ["id": JSON(id)])
    }

    /// Whether it is paused by a user. When it stands still and nobody has asked for that, the daemon was killed in the middle
    /// of taking a snapshot: then it goes on.
    func isPaused(_ observed: String?) async -> Bool {
        guard observed == "paused" else { return false }
        guard record.isolation == .container, record.state.status == .running else { return true }
        do {
            try await engine.warden.request("resume", ["id": JSON(id)])
            return false
        } catch {
            engine.log.error("container \(id) stands still: \(error)")
            return true
        }
    }

    /// Removes what a kill left of a snapshot, a clone, a restoration or a conversion that was not finished: the record says
    /// what counts.
    func removeHalfMade() async {
        let (directory, folder, isolation) = (directory, snapshotFolder, record.isolation)
        let known = Set(record.snapshots.map(\.name))
        do {
            try await engine.threads.run {
                for name in ["upper.new", "disk.img.new"] { try FileContents.removeTree(directory + "/" + name) }
                if isolation == .container {
                    try FileContents.removeTree(directory + "/disk.img")
                } else if isolation == .microvm {
                    try Container.empty(directory + "/upper")
                }
                guard access(folder, F_OK) == 0 else { return }
                for name in try FileContents.names(in: folder) where !known.contains(name) {
                    try FileContents.removeTree(folder + "/" + name)
                }
            }
        } catch { engine.log.error("cannot tidy up \(directory): \(error)") }
    }

    /// Blocking.
    static func empty(_ path: String) throws {
        guard access(path, F_OK) == 0 else { return }
        let folder = try OwnedDescriptor.open(path, O_RDONLY)
        try FileContents.removeContents(of: folder.raw, path)
    }
}
