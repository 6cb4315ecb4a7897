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

    private func connect(seconds: Int64) throws -> QMP {
        try QMP(
            path: path, deadline: SystemClock.monotonicNanoseconds() + seconds * 1_000_000_000, isAlive: isAlive)
    }

    /// Lets a clone continue where its template was stopped; its state is the inherited `state`.
    ///
    /// - Parameter hasShare: plug the device in that serves the host's folders. No template can have it.
    public func resume(hasShare: Bool) throws {
        let control = try connect(seconds: 10)
        try MachineControl.shareMemory(control)
        try control.run(
            "migrate-incoming", ["uri": JSON("fd:\(MachineCommand.Origin.clone(hasDisk: false).number(.state))")])
        guard hasShare else { return }
        try MachineControl.wait("loading the VM") { try control.run("query-status")["status"].string != "inmigrate" }
        try control.run(
            "device_add",
            [
                "driver": "vhost-user-fs-pci", "id": "share", "chardev": "share", "tag": JSON(MachineCommand.share),
                "queue-size": 1024, "addr": "8",
            ])
    }

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
    private static func wait(_ what: String, until isDone: () throws -> Bool) throws {
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
