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
    func kill() async {
        guard let machine, machine.isAlive else { return }
        // Fails only when it has ended.
        _ = try? await engine.warden.request("signal", ["id": JSON(machine.id), "signal": JSON(SIGKILL)])
    }

    /// Whether more than one container is in it.
    var isShared: Bool { present.count > 1 }

    /// The program that served folders of the host to a container has ended. Who waits for a file there would wait for ever: the
    /// guest gives these folders up, so that everybody gets an error.
    ///
    /// - Throws: when the guest does not do so.
    func abandonShare(of container: String) async throws {
        guard let machine, record.places[container] != nil else { return }
        abandoned.insert(container)
        try await machine.request(
            "abandon", ["path": JSON(GuestFolder(of: container).share)], seconds: Pod.dismissDeadline)
    }
}
