import Base
import Kernel

extension VirtualMachines {
    /// Starts the program that serves folders of the host to a VM.
    ///
    /// - Parameters:
    ///   - id: what the host's warden is to know it by.
    ///   - socket: its name in the VM's folder.
    func serve(
        _ shares: [HostShare], as id: String, at socket: String, _ files: MachineFiles, in parent: String? = nil
    ) async throws {
        let program = try await threads.run {
            try files.make()
            return try ShareSpec.program()
        }
        let spec = ShareSpec(
            id: id, program: program, root: files.root, shares: shares,
            cgroupParent: parent ?? configuration.cgroupParent)
        let socket: JSON = [
            "listen": JSON(files.folder + "/" + socket), "owner": JSON(MachineSpec.user(of: files.id)),
        ]
        try await warden.request(
            "create",
            [
                "id": JSON(spec.id), "spec": spec.json, "io": VirtualMachines.output(to: files.console), "start": true,
                "descriptors": [socket],
            ])
    }
}
