import Base
import Glibc
import Images
import Kernel
import Machines

/// Containers in a VM that others are in already.
extension VirtualMachines {
    /// What a pod's VM gets for one container.
    struct Member: Sendable {
        let id: String
        let place: MachinePlace
        /// The read-only disk with the image, and the writable one, which is made when it is not there.
        let root: String
        let disk: String
        /// `io.log` of the warden's protocol; null without one.
        let log: JSON
        let shares: [HostShare]
    }

    /// The disk that a new container of a pod gets a copy of: as a microVM's, with its folders, and mounted nowhere.
    static func makeMemberDisk(_ path: String) throws {
        let folder = path + ".folder"
        defer { try? FileContents.removeTree(folder) }  // below the template's folder, which goes when this fails
        for name in ["upper", "work"] { try FileContents.makeDirectories(folder + "/" + name) }
        try DiskImage.format(path, bytes: diskBytes, holding: folder)
    }

    /// A pod's VM that continues from a snapshot, with those in it that were, still standing still.
    func resumePod(
        _ snapshot: MachineSnapshot, _ shape: MachineShape, _ accelerator: Accelerator, members: [Member],
        onEvent: @escaping @Sendable (JSON) -> Void
    ) async throws -> VirtualMachine {
        guard !isClosed else { throw SkalaError(.unavailable, "the daemon ends") }
        self.accelerator = accelerator
        let id = Identifier.make()
        let files = MachineFiles(id: id, configuration: configuration)
        try await threads.run { try files.make() }
        let machine = try await spawn(
            files, shape: shape, accelerator: accelerator, origin: .snapshot(hasDisk: false, cards: []),
            descriptors: [
                ["copied": JSON(snapshot.memory)], ["tap": JSON(VirtualMachine.tap(of: id))],
                ["file": JSON(snapshot.state)],
            ])
        do {
            machine.setEventHandler(onEvent)
            let control = machine.control
            try await threads.run {
                try control.loadPod()
                for member in members {
                    try control.plug(
                        root: .open(member.root, O_RDONLY), disk: .open(member.disk, O_RDWR), into: member.place)
                }
                try control.proceed()
            }
            // What they write waits in the guest: they stand still there.
            for member in members {
                let log = try await openLog(member.log.isNull ? nil : (member.id, member.log), of: machine)
                try await threads.run { try control.plug(log: log, into: member.place) }
            }
            // Nobody is connected before: the guest learns from that that the engine it knew has gone.
            try await machine.connect(seconds: 30)
            unclaimed[id] = nil
            return machine
        } catch {
            throw await failed(machine, error)
        }
    }

    /// Puts a container's disks, log and folders into a VM.
    func plug(_ member: Member, into machine: VirtualMachine, shape: MachineShape) async throws {
        let files = MachineFiles(id: machine.id, configuration: configuration)
        let control = machine.control
        let template = try await template(for: shape)
        if !member.shares.isEmpty {
            try await serve(
                member.shares, as: VirtualMachine.shareID(of: member.id), at: member.place.shareSocket, files)
        }
        let log = try await openLog(member.log.isNull ? nil : (member.id, member.log), of: machine)
        try await threads.run {
            if access(member.disk, F_OK) != 0 { try DiskImage.copy(template.disk, to: member.disk) }
            try control.plug(
                MachineControl.Luggage(
                    root: try .open(member.root, O_RDONLY), disk: try .open(member.disk, O_RDWR),
                    log: log,
                    share: member.shares.isEmpty
                        ? nil : MachineSpec.socketFolder + "/" + member.place.shareSocket), into: member.place)
        }
    }

    /// Takes out what the guest has let go of.
    func unplug(_ place: MachinePlace, of id: String, from machine: VirtualMachine) async throws {
        let control = machine.control
        try await threads.run { try control.unplug(place) }
        await endShare(of: id)
        unlink(MachineFiles(id: machine.id, configuration: configuration).folder + "/" + place.shareSocket)
    }

    /// Ends the program that served a container's folders, when it had any.
    func endShare(of id: String) async {
        _ = try? await warden.request("delete", ["id": JSON(VirtualMachine.shareID(of: id))])  // most have none
    }
}
