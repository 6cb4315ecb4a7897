import Base
import Glibc
import Images
import Kernel
import Networks
import Store

extension Container {
    // MARK: start

    /// Starts the container.
    ///
    /// - Throws: `.notModified` when it runs already; `.invalid` when its program cannot be executed (the exit code is
    ///   then 127 or 126, as a shell's).
    public func start() async throws {
        try await lifecycle.withLock {
            restartTask?.cancel()
            record.hasBeenManuallyStopped = false
            restartDelay = RestartPolicy.initialDelay
            try await startLocked()
        }
    }

    func startLocked() async throws {
        guard !record.state.isAlive else { throw SkalaError(.notModified, "container already started") }
        guard !isRemoved else { throw SkalaError(.notFound, "No such container: \(id)") }
        await exitCleanUp?.value
        await stopLeftMachine(keepsDisk: true)
        try await closeFiles()
        do {
            try await prepareAndRun()
        } catch {
            isStarting = false
            let failure =
                (error as? SkalaError) ?? (error as? KernelError)?.asSkalaError ?? SkalaError(.system, "\(error)")
            await startFailed(failure)
            throw failure.within("failed to start container")
        }
        // An end that comes meanwhile waits: it is told after the start.
        defer { isStarting = false }
        try await persist()
        publish("start")
        startHealthMonitor()
        isStarting = false
        if let exit = earlyExit {
            earlyExit = nil
            await exited(exit)
        }
    }

    private func prepareAndRun() async throws {
        let prepared = try await prepareStart()
        isStarting = true
        earlyExit = nil
        if let resumption, record.isolation != .machine { return try await resume(prepared, resumption) }
        if returnsToPod { return try await reenterPod() }
        if record.isolation.hasOwnWarden { try await startMachine(prepared) }
        let attachments = pendingAttachments
        for attachment in attachments { try sandbox.open(attachment.stream) }
        pendingAttachments = []
        var message: JSON = [
            "id": JSON(id), "spec": prepared.spec, "rootfs": prepared.rootfs, "io": ioSettings,
        ]
        message["start"] = true
        if !prepared.descriptors.isEmpty { message["descriptors"] = JSON(prepared.descriptors) }
        if !attachments.isEmpty { message["attach"] = JSON(attachments.map(\.request)) }
        wardenGeneration = sandbox.generation
        do {
            let answer = try await sandbox.request("create", message)
            for attachment in attachments { attachment.stream.connected() }
            if record.isolation == .machine {
                try await runDiskMachine(
                    Int32(clamping: answer["pid"].int ?? 0), continuingFrom: prepared.stateNumber)
            }
            record.state = ContainerState()
            record.state.status = .running
            record.state.pid = machine?.pid ?? Int32(clamping: answer["pid"].int ?? 0)
            record.state.startedAt = SystemClock.now()
        } catch {
            for attachment in attachments { attachment.stream.end() }
            throw error
        }
    }

    private func startFailed(_ failure: SkalaError) async {
        let streams = pendingAttachments.map(\.stream)
        pendingAttachments = []
        for stream in streams { stream.end() }
        record.state.status = record.state.startedAt == nil ? .created : .exited
        record.state.error = failure.message
        record.state.exitCode = failure.code == .notFound ? 127 : failure.code == .forbidden ? 126 : 128
        record.state.finishedAt = SystemClock.now()
        // The container may be unknown to the warden: the start failed before or in create.
        _ = try? await sandbox.request("delete", ["id": JSON(id)])
        if pod != nil { await engine.networks.destroySandbox(id) }
        await stopMachine(keepsDisk: false)
        cleanUpDiskMachine()
        await engine.networks.destroySandbox(id)
        await containers.releaseCores(id)
        try? await persist()  // the failure that is reported is the start's
        resumeWaiters([.nextExit, .notRunning])
        if record.hostConfig["AutoRemove"].bool == true { Task { await self.removeQuietly() } }
    }

    private var ioSettings: JSON {
        let hasInput = record.config["OpenStdin"].bool ?? false
        var io: JSON = [
            "terminal": JSON(record.config["Tty"].bool ?? false), "stdin": JSON(hasInput),
            "stdinOnce": JSON(record.config["StdinOnce"].bool ?? false),
        ]
        let size = record.hostConfig["ConsoleSize"]
        if let rows = size[0].int, let columns = size[1].int, rows > 0, columns > 0 {
            io["rows"] = JSON(rows)
            io["columns"] = JSON(columns)
        }
        io["log"] = logSettings
        // The host's warden keeps it, and has to know where it ends.
        if machine != nil, !logSettings.isNull { io["log"] = ["path": JSON(logPort), "end": JSON(id)] }
        return io
    }

    /// `io.log` of the warden's protocol; null without a log.
    var logSettings: JSON {
        let log = record.hostConfig["LogConfig"]
        guard log["Type"].string != "none" else { return .null }
        let options = log["Config"].stringDictionary ?? [:]
        return [
            "path": JSON(logPath),
            "maximumBytes": JSON(options["max-size"].flatMap { try? ByteSize.parse($0) } ?? 0),
            "maximumFiles": JSON(options["max-file"].flatMap { Int64($0) } ?? 1),
        ]
    }

    // MARK: exit

    /// Takes in that the process has ended; all its output is in the log by now.
    func exited(_ exit: Exit) async {
        if isStarting {
            earlyExit = exit
            return
        }
        if let machine, record.state.isAlive, !logSettings.isNull { await machine.waitForLog(of: id) }
        guard record.state.isAlive else { return }
        let ranFor = exit.time.nanoseconds(since: record.state.startedAt ?? Timestamp(nanoseconds: 0))
        record.state.status = .exited
        record.state.pid = 0
        record.state.exitCode = exit.code
        record.state.isOOMKilled = exit.isOOMKilled
        record.state.isLost = exit.isLost
        record.state.finishedAt = exit.time
        health?.stop()
        for session in execs.values { session.containerExited() }
        publish("die", ["exitCode": "\(exit.code)", "execDuration": "\(max(0, ranFor) / 1_000_000_000)"])
        resumeExitWaiters()
        if ranFor > RestartPolicy.resetAfter { restartDelay = RestartPolicy.initialDelay }
        let policy = RestartPolicy(record.hostConfig["RestartPolicy"])
        let restarts = policy.shouldRestart(
            exitCode: exit.code, restarts: record.restartCount,
            wasStoppedByUser: isStopRequested || record.hasBeenManuallyStopped)
        if restarts { record.state.status = .restarting }
        resumeWaiters(restarts ? [.nextExit] : [.nextExit, .notRunning])
        let cleanUp = Task { await self.cleanUpAfterExit() }
        exitCleanUp = cleanUp
        await cleanUp.value
        if restarts {
            scheduleRestart()
        } else if record.hostConfig["AutoRemove"].bool == true {
            Task { await self.removeQuietly() }
        }
    }

    /// Frees what the ended process held. A new start waits for it: it would use the same names.
    private func cleanUpAfterExit() async {
        async let network: Void = engine.networks.destroySandbox(id)
        // A VM and its network know nothing of each other any more: they are taken down side by side. A pod's network may
        // end with it, and then has to be nobody's.
        if machine == nil || pod != nil { await network }
        await containers.releaseCores(id)
        do {
            // The exit must be in the store before the warden forgets it. A store that cannot be written keeps the
            // warden's copy.
            try await persist()
            if machine != nil {
                await stopMachine(keepsDisk: record.hostConfig["AutoRemove"].bool != true)
            } else {
                // Fails only when the warden is gone, and then so is what would be deleted.
                _ = try? await sandbox.request("delete", ["id": JSON(id)])
                cleanUpDiskMachine()
            }
        } catch { engine.log.error("cannot record the exit of a container", ["container": id, "error": "\(error)"]) }
        await network
    }

    private func scheduleRestart() {
        let delay = restartDelay
        restartDelay = RestartPolicy.next(delay)
        restartTask = Task {
            try? await Task.sleep(nanoseconds: UInt64(delay))  // cancelled: looked at on the next line
            guard !Task.isCancelled else { return }
            await self.restartAfterExit()
        }
    }

    private func restartAfterExit() async {
        await lifecycle.withLock {
            guard record.state.status == .restarting, !Task.isCancelled else { return }
            record.restartCount += 1
            do {
                try await startLocked()
            } catch {
                guard RestartPolicy(record.hostConfig["RestartPolicy"]).name != "on-failure" else { return }
                record.state.status = .restarting
                scheduleRestart()
            }
        }
    }

    // MARK: stop

    /// Sends the stop signal, waits for the grace period, then kills.
    ///
    /// - Parameter timeout: seconds; negative waits for ever, nil takes the container's own, or 10.
    /// - Throws: `.notModified` when it does not run.
    public func stop(timeout: Int64? = nil, signal: String? = nil) async throws {
        try await lifecycle.withLock { try await stopLocked(timeout: timeout, signal: signal) }
    }

    func stopLocked(timeout: Int64?, signal: String?) async throws {
        restartTask?.cancel()
        if record.state.status == .restarting {
            record.state.status = .exited
            record.hasBeenManuallyStopped = true
            try await persist()
            resumeWaiters([.notRunning])
            return
        }
        guard record.state.isAlive else { throw SkalaError(.notModified, "container already stopped") }
        isStopRequested = true
        record.hasBeenManuallyStopped = true
        defer { isStopRequested = false }
        let stopSignal = try Signal.parse(signal ?? record.config["StopSignal"].string ?? "SIGTERM")
        if record.state.status == .paused { try await freeze("resume") }
        let isMachine = record.isolation == .machine
        let pressing = isMachine ? keepPressingPowerButton() : nil
        defer { pressing?.cancel() }
        if isStalled { return try await endStalled() }
        // A guest that does not answer ends by force in the end.
        if !isMachine { do { try await send(stopSignal) } catch { guard hasOwnGuest else { throw error } } }
        let grace = timeout ?? record.config["StopTimeout"].int ?? (isMachine ? Container.powerDownGrace : 10)
        // A year stands for "without end": what a client asks for need not fit the clock.
        let longest: Int64 = 86400 * 365
        let hasEnded = await waitForExit(seconds: Double(grace < 0 ? longest : min(grace, longest)))
        pressing?.cancel()
        if !hasEnded { try await endByForce() }
        await exitCleanUp?.value
        publish("stop")
    }

    /// A signal to the container's first process; one that has ended already is no error.
    func send(_ signal: Int32) async throws {
        do {
            let fields: JSON = ["id": JSON(id), "signal": JSON(signal)]
            if let guest = sandbox as? VirtualMachine {
                try await guest.request("signal", fields, seconds: Container.guestPatience)
            } else {
                _ = try await sandbox.request("signal", fields)
            }
        } catch let error as SkalaError where error.code == .notFound || error.code == .conflict {
            return
        }
        publish("kill", ["signal": "\(signal)"])
    }

    public func restart(timeout: Int64? = nil, signal: String? = nil) async throws {
        try await lifecycle.withLock {
            if record.state.isAlive { try await stopLocked(timeout: timeout, signal: signal) }
            record.hasBeenManuallyStopped = false
            try await startLocked()
        }
        publish("restart")
    }

    /// Sends a signal by name or number.
    public func kill(signal: String) async throws {
        let number = try Signal.parse(signal)
        guard record.state.isAlive else {
            throw SkalaError(.conflict, "cannot kill container: \(record.name): container \(id) is not running")
        }
        if record.isolation == .machine, number != SIGKILL { return try await pressPowerButton(signal: number) }
        if number == SIGKILL || number == SIGTERM { record.hasBeenManuallyStopped = true }
        if number == SIGKILL, record.state.status == .paused {
            try await freeze("resume")
        }
        // As Docker: `kill` returns when the container is gone, so that what follows finds it stopped.
        if number == SIGKILL { return try await endByForce() }
        try requireNoStall()
        try await send(number)
    }

    /// Kills what runs in the container, and waits for its end. A guest need not do as it is told: a VM that is the container's
    /// own ends then, and the container with it.
    func endByForce() async throws {
        if isStalled { return try await endStalledMachine() }
        let own = hasOwnGuest ? machine : nil
        do { try await send(SIGKILL) } catch { guard own != nil else { throw error } }
        if await waitForExit(seconds: own == nil ? 30 : Container.guestPatience) { return }
        if let own {
            engine.log.error("a container did not end by SIGKILL: its VM is ended", ["container": id])
            try await engine.warden.request("signal", ["id": JSON(own.id), "signal": JSON(SIGKILL)])
            if await waitForExit(seconds: 20) { return }
        }
        throw SkalaError(.timedOut, "container \(id) did not end within 30 s of SIGKILL")
    }

    /// Whether it is in a VM that ends with it.
    private var hasOwnGuest: Bool { record.isolation == .microvm && machine != nil }

    /// Seconds within which a guest answers, and does what it is told.
    private static let guestPatience = 10.0

    // MARK: remove

    /// Removes the container and its files; with `volumes` also its anonymous volumes.
    ///
    /// - Throws: `.conflict` with Docker's text when it runs and `force` is not given.
    public func remove(force: Bool, volumes: Bool) async throws {
        try await lifecycle.withLock {
            guard !isRemoved else { throw SkalaError(.notFound, "No such container: \(id)") }
            restartTask?.cancel()
            if record.state.isAlive {
                guard force else {
                    throw SkalaError(
                        .conflict,
                        "cannot remove container \"\(record.name)\": container is \(record.state.status.rawValue): "
                            + "stop the container before removing or force remove")
                }
                isStopRequested = true
                if record.state.status == .paused {
                    try await freeze("resume")
                }
                try await endByForce()
            }
            try await removeLocked(volumes: volumes)
        }
    }

    private func removeLocked(volumes: Bool) async throws {
        await exitCleanUp?.value
        await stopLeftMachine(keepsDisk: false)
        try await closeFiles()
        // Whatever of it the warden still has (a half-made container, a holder of its files) goes; often nothing.
        _ = try? await engine.warden.request("delete", ["id": JSON(id)])
        await engine.networks.destroySandbox(id)
        try await engine.store.remove("container", id)
        isRemoved = true
        let directory = directory
        do {
            try await engine.threads.run { try FileContents.removeTree(directory) }
        } catch {
            // The container is gone all the same, and with it its hold on images and volumes; a folder that stays even so
            // is removed when the daemon starts next.
            engine.log.error("cannot remove \(directory)", ["error": "\(error)"])
            let threads = engine.threads
            BackgroundRetry.start { (try? await threads.run { try FileContents.removeTree(directory) }) != nil }
        }
        await engine.images.release(holder: id)
        await engine.volumes.release(holder: id)
        if volumes {
            for mount in record.mounts where mount.isAnonymous {
                // A volume another container uses by now stays; that is no failure of this removal.
                try? await engine.volumes.remove(mount.name, force: true)
            }
        }
        await containers.forget(id)
        await containers.pods.forget(id, of: record.podID)
        publish("destroy")
        resumeWaiters([.removed, .notRunning, .nextExit])
    }

    /// The end of `--rm`.
    private func removeQuietly() async {
        do {
            try await lifecycle.withLock {
                guard !isRemoved, !record.state.isAlive else { return }
                try await removeLocked(volumes: true)
            }
        } catch { engine.log.error("cannot remove a container", ["container": id, "error": "\(error)"]) }
    }
}
