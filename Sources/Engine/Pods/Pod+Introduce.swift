import Base
import Kernel
import Machines
import Networks

extension Pod {
    /// Tells a VM who and where it is, and what time it is. When it cannot be told, it ends.
    ///
    /// - Parameter isNew: not one that continues from a snapshot, which would answer for the address it had.
    func introduce(_ machine: VirtualMachine, isNew: Bool) async throws {
        do {
            var interface = Container.absentCard(0)
            let endpoint = await engine.networks.endpoints(of: id).first
            if let endpoint {
                interface = endpoint.guestInterface(card: 0, gateways: endpoint.defaultGateways(after: []))
                if !isNew { interface["clear"] = true }
            }
            let tap = VirtualMachine.tap(of: machine.id)
            if isNew, let endpoint { try await engine.networks.plug(tap, to: endpoint, containerID: id, rate: nil) }
            var random = SystemRandomNumberGenerator()
            let entropy = (0..<64).map { _ in UInt8.random(in: 0...255, using: &random) }
            try await machine.request(
                "configure",
                [
                    "time": JSON(SystemClock.now().nanoseconds), "entropy": JSON(Base64.encode(entropy)),
                    "hostname": JSON(record.hostname), "interfaces": [interface],
                ], seconds: Pod.configureDeadline)
            if !isNew, let endpoint { try await engine.networks.plug(tap, to: endpoint, containerID: id, rate: nil) }
        } catch {
            await stopMachine(keepsDisks: false)
            throw error
        }
    }
}
