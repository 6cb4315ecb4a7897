import Base
import Glibc
import Kernel

/// What a pod does when something that its VM needs of the host is missing.
extension Pod {
    /// Whether one of those containers says that QEMU has stopped the VM for want of room.
    func isStalled(among members: Set<String>, of containers: Containers) async -> Bool {
        for id in members { if await containers.existing(id)?.isStalled == true { return true } }
        return false
    }

    /// Ends the VM, and with it all that is in it.
    ///
    /// - Parameter reason: what the containers in it tell.
    func kill(because reason: String = Pod.usualEnd) async {
        guard let machine, machine.isAlive else { return }
        endReason = reason
        // Fails only when it has ended.
        _ = try? await engine.warden.request("signal", ["id": JSON(machine.id), "signal": JSON(SIGKILL)])
        machine.ended()
    }

    /// Whether more than one container is in it.
    var isShared: Bool { present.count > 1 }
}
