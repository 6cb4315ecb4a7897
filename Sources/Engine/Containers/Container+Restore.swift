import Base
import CLinux
import Glibc
import Kernel
import Machines

extension Container {
    /// Puts a snapshot in the instance's place: its files, and the memory if the snapshot has it, so that the VM continues
    /// from the snapshot's moment. What runs is killed; it runs again afterwards if it did before, or has the memory.
    ///
    /// Until the instance is stopped nothing has changed; then the files change places at once.
    ///
    /// - Throws: `.notFound`; `.conflict` when the snapshot is of another isolation, or its memory cannot be loaded any more.
    public func restore(_ name: String, filesOnly: Bool, report: ProgressReport) async throws {
        try await lifecycle.withLock {
            try checkCanBeCaptured()
            let snapshot = try snapshot(name)
            guard snapshot.isolation == record.isolation else {
                throw SkalaError(
                    .conflict,
                    "snapshot '\(name)' is of isolation \(snapshot.isolation.rawValue), and \(record.name) is now at "
                        + "\(record.isolation.rawValue): convert it first")
            }
            let machine = filesOnly ? nil : snapshot.machine
            if let machine { try engine.machines.checkLoads(machine) }
            report("Copying the files of snapshot \(name)")
            let place = try await prepareFiles(of: snapshot)
            let runs = record.state.isAlive || record.state.status == .restarting
            do {
                try Container.checkNotCancelled()
                try await killForRestore()
                try await closeFiles()
                try await exchange(place)
            } catch {
                try? await engine.threads.run { try FileContents.removeTree(place + ".new") }  // as before
                throw error
            }
            record.currentSnapshot = name
            try await persist()
            publish("restore", ["snapshot": name])
            if let machine {
                report("Continuing from snapshot \(name)")
                let files = MachineSnapshot(folder: snapshotFolder + "/" + name)
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

    /// Copies the snapshot's files beside the instance's.
    ///
    /// - Returns: the path they are to get; there they have `.new` at the end.
    private func prepareFiles(of snapshot: Snapshot) async throws -> String {
        let folder = snapshotFolder + "/" + snapshot.name
        let threads = engine.threads
        guard record.isolation != .container else {
            let place = directory + "/upper"
            try await threads.run { try FileContents.removeTree(place + ".new") }
            try await FolderCopy.copy(folder + "/upper", to: place + ".new", threads: threads)
            return place
        }
        let place = diskPath
        try await threads.run {
            unlink(place + ".new")
            let source = MachineSnapshot(folder: folder).disk
            // It was taken before the first start: nothing was written.
            if access(source, F_OK) == 0 { try DiskImage.copy(source, to: place + ".new") }
        }
        return place
    }

    /// Puts what is ready beside `place` there, at once, and removes what was.
    private func exchange(_ place: String) async throws {
        try await engine.threads.run {
            guard access(place + ".new", F_OK) == 0 else {
                unlink(place)
                return
            }
            if access(place, F_OK) == 0 {
                try check(cl_exchange(place + ".new", place), "renameat2", place)
                try FileContents.removeTree(place + ".new")
            } else {
                try checkErrno(Glibc.rename(place + ".new", place), "rename", place)
            }
        }
    }

    /// What the instance does now is given up: there is nothing to wait for.
    private func killForRestore() async throws {
        restartTask?.cancel()
        if record.state.status == .restarting { record.state.status = .exited }
        if record.state.isAlive {
            isStopRequested = true
            defer { isStopRequested = false }
            if record.state.status == .paused {
                try await engine.warden.request("resume", ["id": JSON(record.hostID)])
            }
            try await send(SIGKILL)
            guard await waitForExit(seconds: 30) else {
                throw SkalaError(.timedOut, "container \(id) did not end within 30 s of SIGKILL")
            }
        }
        await exitCleanUp?.value
    }
}
