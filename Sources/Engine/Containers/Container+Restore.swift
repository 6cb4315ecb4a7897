import Base
import CLinux
import Glibc
import Kernel
import Machines
import Networks

extension Container {
    /// Puts a snapshot in the instance's place: its files, and the memory if the snapshot has it, so that the VM continues
    /// from the snapshot's moment. What runs is killed; it runs again afterwards if it did before, or has the memory.
    ///
    /// Until the instance is stopped nothing has changed; then the files change places at once.
    ///
    /// - Throws: `.notFound`; `.conflict` when the snapshot is of another isolation, or its memory cannot be loaded any more.
    public func restore(_ name: String, filesOnly: Bool, report: ProgressReport) async throws {
        try await lifecycle.withLock {
            try requireThere()
            let snapshot = try snapshot(name)
            guard snapshot.isolation == record.isolation else {
                throw SkalaError(
                    .conflict,
                    "snapshot '\(name)' is of isolation \(snapshot.isolation.rawValue), and \(record.name) is now at "
                        + "\(record.isolation.rawValue): convert it first")
            }
            let machine = filesOnly ? nil : snapshot.machine
            if let machine, record.isolation == .machine {
                try await checkMachineLoads(machine)
                try await rememberAddress(machine.address)
            } else if let machine {
                try engine.machines.checkLoads(machine)
            }
            report("Copying the files of snapshot \(name)")
            let folder = snapshotFolder + "/" + name
            let runs = record.state.isAlive || record.state.status == .restarting
            do {
                try await prepareFiles(from: folder)
                try Container.checkNotCancelled()
                try await killForRestore()
                try await closeFiles()
                try await exchangeFiles()
            } catch {
                await removeHalfMade()
                await containers.lookForStalledMachines()
                throw error
            }
            record.currentSnapshot = name
            try await persist()
            publish("restore", ["snapshot": name])
            if let machine {
                report("Continuing from snapshot \(name)")
                let files = MachineSnapshot(folder: folder)
                // A copy of an earlier one of that name may be there still, from a daemon that was killed.
                await engine.machines.release(files)
                let result: Result<Void, any Error>
                do {
                    result = .success(try await start(from: Resumption(files: files, machine: machine)))
                } catch { result = .failure(error) }
                await engine.machines.release(files)
                try result.get()
            } else if runs {
                report("Starting \(record.name)")
                record.hasBeenManuallyStopped = false
                try await startLocked()
            }
        }
    }

    // MARK: files

    /// What a snapshot has of an instance: where it lies, and where its copy does in the snapshot's folder.
    func files(in folder: String) -> [(place: String, copy: String)] {
        let snapshot = MachineSnapshot(folder: folder)
        switch record.isolation {
        case .container: return [(directory + "/upper", folder + "/upper")]
        case .microvm, .pod: return [(diskPath, snapshot.disk)]
        case .machine: return [(machineDisk, snapshot.disk), (variablesPath, snapshot.variables)]
        }
    }

    func copy(_ source: String, to target: String) async throws {
        let threads = engine.threads
        guard record.isolation == .container else {
            return try await threads.run { try DiskImage.copy(source, to: target) }
        }
        // The folder of a new instance has it already, empty.
        try await FolderCopy.copy(source, to: target, threads: threads)
    }

    /// Copies the snapshot's files beside the instance's, with `.new` at their ends.
    private func prepareFiles(from folder: String) async throws {
        let isTree = record.isolation == .container
        for file in files(in: folder) {
            let target = file.place + ".new"
            try await engine.threads.run { try FileContents.removeTree(target) }
            // It was taken before the first start: nothing was written.
            guard access(file.copy, F_OK) == 0 else { continue }
            try await copy(file.copy, to: target)
            try await engine.threads.run { isTree ? try DiskSync.tree(target) : try DiskSync.file(target) }
        }
    }

    /// Puts what is ready there in the instance's place, each file at once, and removes what was.
    func exchangeFiles() async throws {
        let places = files(in: snapshotFolder).map(\.place)
        try await engine.threads.run {
            for place in places {
                if access(place + ".new", F_OK) != 0 {
                    unlink(place)
                } else if access(place, F_OK) == 0 {
                    try check(cl_exchange(place + ".new", place), "renameat2", place)
                    try FileContents.removeTree(place + ".new")
                } else {
                    try checkErrno(Glibc.rename(place + ".new", place), "rename", place)
                }
            }
        }
    }

    /// The guest of the snapshot has this address, and goes on with it.
    private func rememberAddress(_ address: String) async throws {
        guard let network = record.networks.keys.first, !address.isEmpty else { return }
        previousAddresses[try await engine.networks.find(network).id] = address
    }

    /// What the instance does now is given up: there is nothing to wait for.
    func killForRestore() async throws {
        restartTask?.cancel()
        if record.state.status == .restarting { record.state.status = .exited }
        if record.state.isAlive {
            isStopRequested = true
            defer { isStopRequested = false }
            if record.state.status == .paused {
                try await freeze("resume")
            }
            try await endByForce()
        }
        await exitCleanUp?.value
    }
}
