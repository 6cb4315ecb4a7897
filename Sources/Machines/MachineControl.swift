import Base
import CLinux
import Glibc
public import Kernel

/// What is done to a VM from outside, over its control socket. Blocking; each call connects anew.
public struct MachineControl: Sendable {
    private let path: String
    private let isAlive: @Sendable () -> Bool

    /// - Parameters:
    ///   - folder: the folder of the VM's sockets, as the host sees it.
    ///   - isAlive: whether its QEMU still runs.
    public init(folder: String, isAlive: @escaping @Sendable () -> Bool) {
        path = folder + "/" + MachineCommand.controlSocket
        self.isAlive = isAlive
    }

    func connect(seconds: Int64) throws -> QMP {
        try QMP(
            path: path, deadline: SystemClock.monotonicNanoseconds() + seconds * 1_000_000_000, isAlive: isAlive)
    }

    /// Lets a clone continue where its template was stopped; its state is the inherited `state`.
    public func resume() throws {
        let control = try connect(seconds: 10)
        try MachineControl.shareMemory(control)
        try control.run("migrate-incoming", ["uri": JSON("fd:\(MachineCommand.Origin.clone.number(.state))")])
    }

    /// What makes a clone a container's.
    public struct Belongings: Sendable {
        /// The image's root file system, and, when something was written before, the disk that is on.
        public let root: OwnedDescriptor
        public let disk: OwnedDescriptor?
        /// Where the container's output goes.
        public let log: OwnedDescriptor
        /// Whether a program serves folders of the host to it.
        public let hasShare: Bool

        public init(root: OwnedDescriptor, disk: OwnedDescriptor?, log: OwnedDescriptor, hasShare: Bool) {
            self.root = root
            self.disk = disk
            self.log = log
            self.hasShare = hasShare
        }
    }

    /// Puts a clone's disks and log into the places that its template kept for them.
    public func attach(_ belongings: Belongings) throws {
        let control = try connect(seconds: 10)
        if belongings.hasShare {
            // No template can have such a device: QEMU refuses to load a state with it.
            try MachineControl.wait("loading the VM") {
                try control.run("query-status")["status"].string != "inmigrate"
            }
            try control.run(
                "device_add",
                [
                    "driver": "vhost-user-fs-pci", "id": "share", "chardev": "share", "tag": JSON(MachineCommand.share),
                    "queue-size": 1024, "addr": "8",
                ])
        }
        try MachineControl.insert(try control.add(belongings.root), as: "root", isReadOnly: true, control)
        if let disk = belongings.disk {
            try MachineControl.insert(try control.add(disk), as: "disk", isReadOnly: false, control)
        }
        try MachineControl.log(to: try control.add(belongings.log), by: "log", control)
    }

    static func log(to file: String, by device: String, _ control: QMP) throws {
        let log: JSON = ["out": JSON(file), "append": true]
        try control.run("chardev-change", ["id": JSON(device), "backend": ["type": "file", "data": log]])
    }

    static func insert(_ file: String, as name: String, isReadOnly: Bool, _ control: QMP) throws {
        let node = name + "-file"
        try control.run(
            "blockdev-add",
            [
                "driver": "file", "node-name": JSON(node), "filename": JSON(file), "read-only": JSON(isReadOnly),
                "locking": "off",
            ])
        try reopen(name, over: node, isReadOnly: isReadOnly, control)
    }

    /// Puts what the node `file` holds behind the node `name`, which the guest sees.
    static func reopen(_ name: String, over node: String, isReadOnly: Bool, _ control: QMP) throws {
        try control.run(
            "blockdev-reopen",
            [
                "options": [
                    ["driver": "raw", "node-name": JSON(name), "read-only": JSON(isReadOnly), "file": JSON(node)]
                ]
            ])
    }

    // MARK: network cards

    /// The numbers of the network cards it has beside its first.
    public func cards() throws -> Set<Int> { try MachineControl.cards(try connect(seconds: 10)) }

    private static func cards(_ control: QMP) throws -> Set<Int> {
        let devices = try control.run("qom-list", ["path": "/machine/peripheral"]).array ?? []
        return Set(
            devices.compactMap { $0["name"].string }.filter { $0.hasPrefix("card") }.compactMap { Int($0.dropFirst(4)) }
        )
    }

    /// Plugs a further network card in, whose other end is `tap`; all that is left of it goes with QEMU.
    ///
    /// - Parameter number: 1 to `MachineCommand.maximumCards` - 1, one that is free.
    public func plugCard(_ number: Int, tap: OwnedDescriptor) throws {
        let control = try connect(seconds: 10)
        let (net, card) = (JSON("net\(number)"), JSON("card\(number)"))
        try control.send(tap, as: "tap")
        try control.run("netdev_add", ["type": "tap", "id": net, "fd": "tap"])
        do {
            try control.run(
                "device_add",
                [
                    "driver": "virtio-net-pci", "id": card, "netdev": net, "romfile": "",
                    "mac": JSON(MachineCommand.hardwareAddress(card: number)),
                    "addr": JSON(Hexadecimal.encode([UInt8(clamping: MachineCommand.cardSlot(number))])),
                ])
        } catch {
            // The first error is the one that tells.
            _ = try? control.run("netdev_del", ["id": net])
            throw error
        }
    }

    /// Takes a card out. The tap goes in any case; a guest that does not let go of the card keeps it, without a wire.
    ///
    /// - Returns: whether the card is gone.
    @discardableResult
    public func unplugCard(_ number: Int) throws -> Bool {
        let control = try connect(seconds: 10)
        try control.run("device_del", ["id": JSON("card\(number)")])
        let deadline = SystemClock.monotonicNanoseconds() + MachineControl.unplugDeadline
        var isGone = false
        while !isGone, SystemClock.monotonicNanoseconds() < deadline {
            isGone = try !MachineControl.cards(control).contains(number)
            if !isGone { usleep(2000) }
        }
        try control.run("netdev_del", ["id": JSON("net\(number)")])
        return isGone
    }

    /// How long a guest may take to let go of a device, in nanoseconds.
    private static let unplugDeadline: Int64 = 5_000_000_000

    /// Stops the VM's processors, and lets them go on.
    public func stop() throws { try connect(seconds: 10).run("stop") }
    public func proceed() throws { try connect(seconds: 10).run("cont") }

    /// Stops a VM that has booted and writes its devices' state to `state`; its memory is in its file.
    public func save(to state: OwnedDescriptor) throws {
        let control = try connect(seconds: 60)
        try control.run("stop")
        try MachineControl.shareMemory(control)
        try control.send(state, as: "state")
        try control.run("migrate", ["uri": "fd:state"])
        try MachineControl.wait("saving the VM") {
            let status = try control.run("query-migrate")
            if ["failed", "cancelled"].contains(status["status"].string) {
                throw SkalaError(.system, "QEMU cannot save the VM: \(status["error-desc"].string ?? status.text)")
            }
            return status["status"].string == "completed"
        }
    }

    /// Asks until it is done.
    static func wait(_ what: String, seconds: Int64 = 60, until isDone: () throws -> Bool) throws {
        let deadline = SystemClock.monotonicNanoseconds() + seconds * 1_000_000_000
        while try !isDone() {
            guard SystemClock.monotonicNanoseconds() < deadline else {
                throw SkalaError(.timedOut, "QEMU does not finish \(what)")
            }
            usleep(1000)
        }
    }

    /// Guest memory is shared by its file, not copied into the state.
    private static func shareMemory(_ control: QMP) throws {
        let capability: JSON = ["capability": "x-ignore-shared", "state": true]
        try control.run("migrate-set-capabilities", ["capabilities": [capability]])
    }
}
