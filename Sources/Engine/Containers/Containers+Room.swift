import Base
import Glibc
import Kernel
import Machines

/// VMs that QEMU has stopped because the host had no room for what they wrote: they are noticed, told of, and go on when there
/// is room again. Nobody else learns of it: the guest's warden is in there, and QEMU tells only who asks.
extension Containers {
    /// Ends with the daemon.
    func watchRoom() async {
        var watch = RoomWatch()
        while await !engine.machines.isClosed {
            try? await Task.sleep(nanoseconds: RoomWatch.tickTime)  // never cancelled
            if watch.tick(room: engine.room, isDue: asksMachinesSoon) { await lookForStalledMachines() }
        }
    }

    /// Asks all VMs, and lets those go on that found no room, if there is some.
    func lookForStalledMachines() async {
        asksMachinesSoon = false
        var occupied: [(machine: VirtualMachine, containers: [Container], stoodStill: Bool)] = []
        for container in all() {
            // A paused one does not answer.
            guard await container.snapshot.state.status == .running, let machine = await container.machine,
                machine.isAlive
            else { continue }
            // It is stopped for that, and may have been before.
            if await container.isBeingCaptured {
                askMachinesSoon()
                continue
            }
            let isStalled = await container.isStalled
            if let index = occupied.firstIndex(where: { $0.machine === machine }) {
                occupied[index].containers.append(container)
                if isStalled { occupied[index].stoodStill = true }
            } else {
                occupied.append((machine, [container], isStalled))
            }
        }
        let controls = occupied.map(\.machine.control)
        let hasRoom = engine.hasRoom
        let answers: [Bool?]
        do {
            answers = try await engine.threads.run {
                // One that is busy, or ends just now, does not answer.
                controls.map { try? $0.isStalled(goesOn: hasRoom) }
            }
        } catch { return engine.log.error("cannot tell whether a VM stands still", ["error": "\(error)"]) }
        for (entry, isStalled) in zip(occupied, answers) {
            // What went on just now may find no room again at once.
            if isStalled != false || entry.stoodStill { askMachinesSoon() }
            guard let isStalled else { continue }
            for container in entry.containers { await container.noteStall(isStalled, of: entry.machine) }
        }
    }
}

extension EngineContext {
    /// With less a VM that went on would stop again at once, in bytes.
    private static let enoughRoom: Int64 = 8 << 20

    /// Bytes that QEMU, which is no superuser, can still write; nil when that cannot be told.
    fileprivate var room: Int64? {
        var status = statvfs()
        guard statvfs(configuration.dataRoot, &status) == 0 else { return nil }
        return Int64(clamping: status.f_bavail) * Int64(clamping: status.f_frsize)
    }

    /// Whether VMs that stand still shall go on. When it cannot be told, trying costs nothing.
    fileprivate var hasRoom: Bool { (room ?? .max) >= EngineContext.enoughRoom }

    /// Whether a VM that an earlier daemon started stands still, and cannot go on now. One that does not answer shows in what is
    /// asked of it next.
    func standsStill(_ machine: VirtualMachine) async -> Bool {
        let control = machine.control
        guard !hasRoom else { return false }
        return (try? await threads.run { try control.isStalled(goesOn: false) }) == true
    }
}

extension Container {
    public static let stallText = "the VM stands still: the host has no room left for what it writes"

    /// Asks its VM whether it stands still, or has done so at some time since then, which nobody in there can be blamed for.
    ///
    /// - Parameter time: of the monotonic clock.
    func hasStalled(since time: Int64) async -> Bool {
        if let machine, machine.isAlive, !isBeingCaptured, record.state.status == .running {
            let (control, goesOn) = (machine.control, engine.hasRoom)
            // One that is busy, or ends just now, is asked again by the next round.
            let answer = try? await engine.threads.run { try control.isStalled(goesOn: goesOn) }
            if let answer, answer || isStalled {
                if answer { await containers.askMachinesSoon() }
                noteStall(answer, of: machine)
            }
        }
        return isStalled || lastStall >= time
    }

    /// The same for the one it is in.
    func standsStill(_ machine: VirtualMachine) async -> Bool {
        guard await engine.standsStill(machine) else { return false }
        await containers.askMachinesSoon()
        noteStall(true, of: machine)
        return true
    }

    /// QEMU has stopped its VM for want of room, or not any more.
    func noteStall(_ stalls: Bool, of machine: VirtualMachine) {
        guard self.machine === machine, record.state.status == .running, stalls || isStalled else { return }
        lastStall = SystemClock.monotonicNanoseconds()
        guard stalls != isStalled else { return }
        isStalled = stalls
        record.state.error = stalls ? Container.stallText : ""
        if stalls {
            engine.log.error(Container.stallText, ["container": record.name])
        } else {
            engine.log.info("the VM goes on: there is room again", ["container": record.name])
        }
        publish(stalls ? "disk-full" : "disk-room")
    }

    /// - Throws: `.conflict` while its VM stands still: nobody in there would answer.
    func requireNoStall() throws(SkalaError) {
        guard isStalled else { return }
        throw SkalaError(.conflict, "container \(record.name) cannot be asked: \(Container.stallText)")
    }

    /// Nobody in its VM hears of a signal.
    func endStalled() async throws {
        try await endStalledMachine()
        await exitCleanUp?.value
        publish("stop")
    }

    /// Ends the VM of a container that stands still, if nobody else is in there.
    ///
    /// - Throws: `.conflict` for one among others in a pod, which would lose what they have not written.
    func endStalledMachine() async throws {
        guard let machine else { throw VirtualMachine.gone }
        // Nothing is left to lose when it has ended already.
        if machine.isAlive, let pod, await pod.isShared {
            throw SkalaError(
                .conflict,
                "container \(record.name) cannot be ended alone: \(Container.stallText); make room, or end all of its pod "
                    + "(skala pod rm --force \(pod.name))")
        }
        if machine.isAlive {
            try await engine.warden.request("signal", ["id": JSON(machine.id), "signal": JSON(SIGKILL)])
        }
        guard await waitForExit(seconds: 20) else {
            throw SkalaError(.timedOut, "the VM of container \(id) did not end within 20 s of SIGKILL")
        }
    }
}
