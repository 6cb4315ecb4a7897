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
        try MachineControl.insert(belongings.root, as: "root", isReadOnly: true, control)
        if let disk = belongings.disk { try MachineControl.insert(disk, as: "disk", isReadOnly: false, control) }
        let log: JSON = ["out": JSON(try control.add(belongings.log)), "append": true]
        try control.run("chardev-change", ["id": "log", "backend": ["type": "file", "data": log]])
    }

    private static func insert(
        _ file: OwnedDescriptor, as name: String, isReadOnly: Bool, _ control: QMP
    ) throws {
        let node = name + "-file"
        try control.run(
            "blockdev-add",
            [
                "driver": "file", "node-name": JSON(node), "filename": JSON(try control.add(file)),
                "read-only": JSON(isReadOnly), "locking": "off",
            ])
        try control.run(
            "blockdev-reopen",
            [
                "options": [
                    ["driver": "raw", "node-name": JSON(name), "read-only": JSON(isReadOnly), "file": JSON(node)]
                ]
            ])
    }

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

    /// Asks until it is done, 60 s at most.
    static func wait(_ what: String, until isDone: () throws -> Bool) throws {
        let deadline = SystemClock.monotonicNanoseconds() + 60_000_000_000
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
