import Base
import Glibc
import Images
import Kernel
import Machines

/// What is asked of a clone.
public struct CloneRequest: Sendable {
    /// The name, or with a count what the names begin with; nil takes the source's.
    public var name: String?
    /// nil makes one, of that very name.
    public var count: Int?
    /// nil clones the instance as it is now.
    public var snapshot: String?
    /// Leaves a VM's memory out.
    public var filesOnly = false

    static let limit = 100

    public init() {}

    func check() throws(SkalaError) {
        guard (1...CloneRequest.limit).contains(count ?? 1) else {
            throw SkalaError(.invalid, "invalid count \(count ?? 0): from 1 to \(CloneRequest.limit) clones at once")
        }
    }
}

extension Containers {
    /// Clones that are made at a time.
    private static let parallel = 4

    /// Makes new instances of another's configuration and files; with a VM's memory each continues where the source is, as a
    /// machine of its own. If one fails, none stays.
    ///
    /// - Returns: what was made, in order.
    public func clone(
        _ reference: String, _ request: CloneRequest, report: @escaping ProgressReport
    ) async throws -> [(id: String, name: String)] {
        try request.check()
        let source = try find(reference)
        return try await source.lend(request, report: report) { [self] loan in
            try await makeClones(request, loan, report)
        }
    }

    private func makeClones(
        _ request: CloneRequest, _ loan: Loan, _ report: @escaping ProgressReport
    ) async throws -> [(id: String, name: String)] {
        let names = try cloneNames(request, of: loan.record.name)
        report("Making \(names.count == 1 ? "the clone" : "\(names.count) clones") of \(loan.record.name)")
        do {
            try await withThrowingTaskGroup(of: Void.self) { group in
                for (index, clone) in names.enumerated() {
                    if index >= Containers.parallel { try await group.next() }
                    try Container.checkNotCancelled()
                    group.addTask {
                        try await self.makeClone(clone, loan)
                        report("\(clone.name) is ready")
                    }
                }
                try await group.waitForAll()
            }
            for clone in names { await existing(clone.id)?.persistClone() }
            return names
        } catch {
            // Who gave up does not give up this, too.
            await Task { for clone in names { await self.undoClone(clone.id) } }.value
            throw error
        }
    }

    /// Takes names and ids for all of them.
    private func cloneNames(_ request: CloneRequest, of source: String) throws -> [(id: String, name: String)] {
        var names: [(id: String, name: String)] = []
        do {
            if let name = request.name, request.count == nil {
                let id = Identifier.make()
                return [(id, try reserve(name: name, for: id))]
            }
            let base = request.name ?? source
            var number = 0
            while names.count < request.count ?? 1 {
                number += 1
                guard !isNameTaken("\(base)-\(number)") else { continue }
                let id = Identifier.make()
                names.append((id, try reserve(name: "\(base)-\(number)", for: id)))
            }
            return names
        } catch {
            for name in names { forget(name.id) }
            throw error
        }
    }

    private func makeClone(_ clone: (id: String, name: String), _ loan: Loan) async throws {
        var record = loan.record.clone(id: clone.id, name: clone.name)
        try await prepareFolders(clone.id)
        try await cloneVolumes(&record)
        await engine.images.retain(image: record.imageID, holder: clone.id)
        let container = Container(record: record, engine: engine, containers: self)
        try await container.takeFiles(from: loan.folder)
        adopt(container, name: clone.name)
        // Of a pod it is one, too. There is one: the source is in it.
        await pods.adopt(clone.id, of: record.podID)
        await container.publish("create", ["clone-of": loan.record.id])
        try await container.startClone(loan)
    }

    /// Volumes with a name are the clone's as well; an anonymous one is copied, since it goes with its container.
    private func cloneVolumes(_ record: inout ContainerRecord) async throws {
        for index in record.mounts.indices where record.mounts[index].type == "volume" {
            if record.mounts[index].isAnonymous {
                let source = record.mounts[index].source
                let volume = try await engine.volumes.create(name: "")
                await engine.volumes.retain(volume.name, holder: record.id)
                record.mounts[index].name = volume.name
                record.mounts[index].source = volume.mountpoint
                try await FolderCopy.copy(source, to: volume.mountpoint, threads: engine.threads)
            } else {
                await engine.volumes.retain(record.mounts[index].name, holder: record.id)
            }
        }
    }

    private func undoClone(_ id: String) async {
        if let container = existing(id) {
            // Until it is known that the warden has ended, and all that ran with it, nothing can be asked of it.
            for pause in BackgroundRetry.pauses {
                do {
                    try await container.remove(force: true, volumes: true)
                    break
                } catch { engine.log.error("cannot remove the clone \(id) yet", ["error": "\(error)"]) }
                try? await Task.sleep(nanoseconds: UInt64(pause) * 1_000_000)  // never cancelled
            }
            await pods.forget(id, of: container.snapshot.podID)
        }
        forget(id)
        await engine.images.release(holder: id)
        await discard(id)
    }
}

/// An instance's files, and perhaps memory, while clones are made of them.
struct Loan: Sendable {
    let record: ContainerRecord
    let folder: String
    let machine: Snapshot.Machine?
    /// Whether the clones are started.
    let starts: Bool
}

extension Container {
    /// Captures the instance, or takes one of its snapshots, for `body`.
    func lend<Value: Sendable>(
        _ request: CloneRequest, report: ProgressReport, _ body: @Sendable (Loan) async throws -> Value
    ) async throws -> Value {
        try await lifecycle.withLock {
            try requireThere()
            guard let name = request.snapshot else {
                report("Capturing \(record.name)")
                return try await withCapture(
                    filesOnly: request.filesOnly, isKept: false, clones: request.count ?? 1
                ) { folder, machine in
                    let loan = Loan(record: record, folder: folder, machine: machine, starts: record.state.isAlive)
                    return try await lend(loan, body)
                }
            }
            let snapshot = try snapshot(name)
            guard snapshot.isolation == record.isolation else {
                throw SkalaError(
                    .conflict,
                    "snapshot '\(name)' is of isolation \(snapshot.isolation.rawValue), and \(record.name) is now at "
                        + "\(record.isolation.rawValue)")
            }
            // Nobody in a machine could be told that it is another one now: its clones boot.
            let machine = request.filesOnly || record.isolation == .machine ? nil : snapshot.machine
            if let machine { try engine.machines.checkLoads(machine) }
            let loan = Loan(
                record: record, folder: snapshotFolder + "/" + name, machine: machine,
                starts: machine != nil || record.state.isAlive)
            return try await lend(loan, body)
        }
    }

    private func lend<Value: Sendable>(_ loan: Loan, _ body: @Sendable (Loan) async throws -> Value) async throws
        -> Value
    {
        let result: Result<Value, any Error>
        // A copy of an earlier one of that path may be there still, from a daemon that was killed.
        if loan.machine != nil { await engine.machines.release(MachineSnapshot(folder: loan.folder)) }
        do { result = .success(try await body(loan)) } catch { result = .failure(error) }
        if loan.machine != nil { await engine.machines.release(MachineSnapshot(folder: loan.folder)) }
        return try result.get()
    }

    /// Copies the files of a snapshot into the folder of a new instance.
    func takeFiles(from folder: String) async throws {
        for file in files(in: folder) where access(file.copy, F_OK) == 0 { try await copy(file.copy, to: file.place) }
    }

    func startClone(_ loan: Loan) async throws {
        guard loan.starts else { return }
        try await lifecycle.withLock {
            if let machine = loan.machine {
                try await start(from: Resumption(files: MachineSnapshot(folder: loan.folder), machine: machine))
            } else {
                try await startLocked()
            }
        }
    }

    /// A clone that does not run is in the store from here on; one that runs, since its start.
    func persistClone() async {
        do { try await persist() } catch { engine.log.error("cannot record the clone \(id)", ["error": "\(error)"]) }
    }
}

extension ContainerRecord {
    /// The record of a clone: the same configuration without what there can be only one of. Published ports lead from
    /// other ports of the host; wanted addresses are left out.
    func clone(id: String, name: String) -> ContainerRecord {
        var clone = self
        (clone.id, clone.name, clone.created) = (id, name, SystemClock.now())
        clone.state = ContainerState()
        (clone.restartCount, clone.hasBeenManuallyStopped) = (0, false)
        (clone.dedicatedCores, clone.machineID, clone.networkState) = ("", "", .null)
        (clone.snapshots, clone.currentSnapshot) = ([], "")
        if config["Hostname"].string == Identifier.short(self.id) {
            clone.config["Hostname"] = JSON(Identifier.short(id))
        }
        if !config["MacAddress"].isNull { clone.config["MacAddress"] = "" }
        for (network, settings) in networks.members {
            clone.networks[network] = settings.withoutAddresses
        }
        for (port, bindings) in hostConfig["PortBindings"].object?.members ?? [] {
            let free = (bindings.array ?? []).map { binding in
                var binding = binding
                binding["HostPort"] = ""
                return binding
            }
            clone.hostConfig["PortBindings"][port] = JSON(free)
        }
        return clone
    }
}

extension JSON {
    /// The settings of an endpoint without the addresses that were asked for.
    var withoutAddresses: JSON {
        var settings = self
        if !settings["MacAddress"].isNull { settings["MacAddress"] = "" }
        for key in ["IPv4Address", "IPv6Address"] where !settings["IPAMConfig"][key].isNull {
            settings["IPAMConfig"][key] = ""
        }
        return settings
    }
}
