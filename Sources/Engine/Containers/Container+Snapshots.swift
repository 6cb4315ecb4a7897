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

    /// Takes a snapshot. The instance stands still only while it is copied; a kill at any moment leaves none, or all of it. When
    /// this returns, it is on the host's disk.
    ///
    /// - Parameters:
    ///   - name: nil chooses one.
    ///   - filesOnly: leaves a running VM's memory out.
    /// - Returns: the name.
    /// - Throws: `.conflict` when the name is taken or the instance is paused; `.exhausted` when it has too many.
    public func takeSnapshot(name: String?, filesOnly: Bool, report: ProgressReport) async throws -> String {
        try await lifecycle.withLock {
            try requireThere()
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
                let bytes = try await threads.run {
                    try DiskSync.tree(captured)
                    return try DiskUsage.bytes(below: captured, allocated: true)
                }
                try Container.checkNotCancelled()
                let snapshot = Snapshot(
                    name: name, created: SystemClock.now(), isolation: record.isolation,
                    parent: record.currentSnapshot, bytes: bytes, machine: machine)
                try checkErrno(Glibc.rename(captured, folder + "/" + name), "rename", folder + "/" + name)
                let before = (record.snapshots, record.currentSnapshot)
                do {
                    try await threads.run { try DiskSync.file(folder) }
                    record.snapshots.append(snapshot)
                    record.currentSnapshot = name
                    try await persist()
                } catch {
                    (record.snapshots, record.currentSnapshot) = before
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

    func requireThere() throws(SkalaError) {
        guard !isRemoved else { throw SkalaError(.notFound, "No such container: \(id)") }
    }

    static func checkNotCancelled() throws(SkalaError) {
        if Task.isCancelled { throw SkalaError(.cancelled, "it was cancelled") }
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
        guard [.container, .pod].contains(record.isolation), record.state.status == .running else { return true }
        do {
            try await sandbox.request("resume", ["id": JSON(id)])
            return false
        } catch {
            engine.log.error("a container stands still", ["container": id, "error": "\(error)"])
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
                for name in ["upper.new", "disk.img.new", "disk.qcow2.new", "variables.fd.new"] {
                    try FileContents.removeTree(directory + "/" + name)
                }
                if isolation == .container {
                    try FileContents.removeTree(directory + "/disk.img")
                } else if isolation.hasOwnWarden {
                    try Container.empty(directory + "/upper")
                }
                guard access(folder, F_OK) == 0 else { return }
                for name in try FileContents.names(in: folder) where !known.contains(name) {
                    try FileContents.removeTree(folder + "/" + name)
                }
            }
        } catch { engine.log.error("cannot tidy up \(directory)", ["error": "\(error)"]) }
    }

    /// Blocking.
    static func empty(_ path: String) throws {
        guard access(path, F_OK) == 0 else { return }
        let folder = try OwnedDescriptor.open(path, O_RDONLY)
        try FileContents.removeContents(of: folder.raw, path)
    }
}
