import Base
import Kernel

/// Writes QEMU itself down, beside what its VM is, while that is captured: clones that continue from there need no QEMU to
/// start, and have what this one has translated (`skala-checkpoint copy`). The process goes on.
public struct ProcessCopy: Sendable {
    private let program: String
    private let pid: Int32
    private let files: [(MachineCommand.Inherited, String)]
    private let origin: MachineCommand.Origin

    /// Of each file that a clone inherits, a path of what QEMU has open in its place, or what /proc calls that.
    ///
    /// - Parameters:
    ///   - program: `skala-checkpoint`.
    ///   - pid: QEMU's process.
    ///   - disk: what the container writes to.
    ///   - scratch: the template's disk, when the container's is another one.
    public init(program: String, pid: Int32, root: String, disk: String, scratch: String?, log: String) {
        self.program = program
        self.pid = pid
        origin = .snapshot(hasDisk: scratch != nil, cards: [])
        files =
            [
                (.memory, GuestMemory.link), (.tap, "/dev/net/tun"), (.scratch, scratch ?? disk), (.root, root),
                (.log, log),
            ]
            + (scratch == nil ? [] : [(.disk, disk)])
    }

    /// - Throws: `.system` when it has what cannot be kept, which has been told on standard error.
    func write(to image: String) throws {
        let status = try Subprocess.run(
            [program, "copy", "\(pid)", image, GuestMemory.link]
                + files.map { "\(origin.number($0.0))=\($0.1)" })
        guard status == 0 else { throw SkalaError(.system, "QEMU cannot be written down (status \(status))") }
    }
}
