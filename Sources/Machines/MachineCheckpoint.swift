public import Base
import CLinux
import Glibc
import Kernel

/// A VM that was cloned, has run a container, and was stopped, and its QEMU with it, as files: VMs that continue from it
/// need no QEMU to start, and nothing to be translated that was translated before.
///
/// Unlike a template it holds addresses of the host's kernel and libraries, so that it is of no use after the next boot.
public struct MachineCheckpoint: Sendable {
    public let folder: String

    public init(folder: String) { self.folder = folder }

    /// The guest's.
    public var memory: String { folder + "/memory" }
    /// QEMU's: memory, threads and descriptors (`skala-checkpoint`).
    public var image: String { folder + "/image" }
    /// The disk that the guest has mounted: a VM continues with a copy of it.
    public var disk: String { folder + "/disk" }
    /// The template's small root file system.
    public var root: String { folder + "/root" }
    private var keyFile: String { folder + "/key" }

    /// Whether its files are there, complete, and made of what `key` names.
    public func isValid(for key: JSON) -> Bool {
        guard [memory, image, disk, root].allSatisfy({ (path: String) in access(path, R_OK) == 0 }),
            // No such file, or half of one: not complete.
            let bytes = try? FileContents.read(keyFile), let found = try? JSON(parsing: bytes)
        else { return false }
        return found == key
    }

    /// Marks the files as complete.
    public func complete(_ key: JSON) throws { try FileContents.replace(keyFile, with: key.bytes) }

    public func remove() throws { try FileContents.removeTree(folder) }

    /// Stops a VM and writes it down. Its QEMU ends. Blocking.
    ///
    /// - Parameters:
    ///   - control: of a clone of `template`; nobody is connected to its warden.
    ///   - pid: its QEMU's.
    ///   - disk: the file that it has for the template's disk.
    ///   - program: `skala-checkpoint`.
    public func capture(
        _ control: MachineControl, pid: Int32, of template: MachineTemplate, bytes: Int64, disk: String, program: String
    ) throws {
        if access(folder, F_OK) == 0 { try remove() }
        try FileContents.makeDirectories(folder, mode: 0o711)
        try control.stop()
        try DiskImage.copy(disk, to: self.disk)
        _ = try GuestMemory(pid: pid, bytes: bytes, path: memory).copyOwn()
        try checkErrno(link(template.root, root), "link", root)
        let origin = MachineCommand.Origin.clone
        let inherited = [
            (MachineCommand.Inherited.memory, GuestMemory.link), (.tap, "/dev/net/tun"), (.scratch, disk),
            (.root, template.root),
        ]
        let status = try Subprocess.run(
            [program, "save", "\(pid)", image, GuestMemory.link]
                + inherited.map { "\(origin.number($0.0))=\($0.1)" })
        guard status == 0 else { throw SkalaError(.system, "QEMU cannot be written down (status \(status))") }
    }
}
