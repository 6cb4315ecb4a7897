import Base
import Client
import Kernel

/// A VM that boots from a disk with the image's files. Its program is started by its init; scripts run in it by ssh.
final class MachineInstance: Movable {
    private let container: ContainerInstance
    private let shell: SecureShell
    /// In bytes: Debian's kernel for clouds does not boot with 72 MiB.
    static let leastMemory: Int64 = 96 << 20
    static let noSoftLimit = "isolation machine, allocation soft: a machine's memory is what it was given at its start"

    var address: String { container.address }

    /// Makes it and starts it; it boots then.
    ///
    /// - Parameters:
    ///   - spec: its image is that of the disk.
    ///   - name: of nothing else in this run.
    init(_ spec: InstanceSpec, name: String, keys: MachineKeys, run: String, client: EngineClient) throws {
        guard spec.allocation != .soft else {
            throw SkalaError(.invalid, MachineInstance.noSoftLimit)
        }
        guard spec.memory >= MachineInstance.leastMemory else {
            throw SkalaError(.invalid, "isolation machine: it does not boot with less than 96 MiB of memory")
        }
        guard !spec.usesImageCommand else {
            throw SkalaError(.invalid, "isolation machine: a 'program' is needed, a disk has none of its own")
        }
        var spec = spec
        let userData = MachineSeed.userData(
            program: spec.program ?? "exec sleep 1000000", environment: spec.environment, hostKey: keys.hostKey,
            authorized: keys.authorized)
        spec.annotations.append(("skala.user-data", userData))
        container = try ContainerInstance(spec, isolation: .machine, run: run, client: client)
        shell = SecureShell(to: container.address, name: name, keys: keys)
    }

    func isUp(until deadline: Deadline) throws -> Bool {
        try deadline.wait(every: 20_000_000) {
            if try shell.connect() { return true }
            guard try isRunning() else { throw SkalaError(.system, "the machine has ended: \(log())") }
            return false
        }
    }

    func execute(_ script: String, environment: [String], until deadline: Deadline) throws -> Execution {
        guard try isUp(until: deadline) else { return Execution(status: nil, output: "", elapsed: 0) }
        return try shell.run(MachineSeed.script(script, environment), until: deadline)
    }

    func restart() throws {
        shell.close()
        try container.restart()
    }

    func snapshotAndRestore() throws {
        shell.close()
        try container.snapshotAndRestore()
    }

    func isRunning() throws -> Bool { try container.isRunning() }
    func log() -> String { container.log() }

    func remove() {
        shell.close()
        container.remove()
    }
}
