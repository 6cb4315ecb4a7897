import Base
import CLinux
import Glibc
import Kernel

/// Containers of a pod leave their VM while it goes on.
extension Guest {
    /// The PCI slots that folders of the host may be plugged into.
    private static let shareSlots = 14...29

    /// Lets go of what `configure` gave to one container, so that it can be taken away: everything below `folder`, the
    /// disks with these serial numbers, and the folders of the host in that PCI slot.
    ///
    /// - Throws: `.conflict` when something still uses one of the disks: the caller tries again, and nobody waits here.
    func dismiss(_ request: JSON) throws -> JSON {
        let folder = try Guest.path(request["folder"])
        for path in mounted.reversed() where path.hasPrefix(folder + "/") { try unmount(path) }
        for serial in request["disks"].strings ?? [] {
            guard let device = try device(of: serial) else {
                throw SkalaError(.notFound, "the VM has no disk '\(serial)'")
            }
            try checkUnused(device)
        }
        if let slot = request["slot"].int {
            guard Guest.shareSlots.contains(Int(clamping: slot)) else {
                throw SkalaError(.invalid, "no folders of the host are in slot \(slot)")
            }
            let device = "/sys/bus/pci/devices/0000:00:" + Hexadecimal.encode([UInt8(clamping: slot)]) + ".0/remove"
            if access(device, F_OK) == 0 { try SmallFile.write("1", to: device) }
        }
        // It held mount points and the files for /etc: nothing that is missed if some of it stays.
        try? FileContents.removeTree(folder)
        return [:]
    }

    /// Writes out one container's disk and lets nobody write to it, while the host copies it; or lets it be written again.
    /// What would write meanwhile waits, in that container only.
    func freeze(_ request: JSON, _ isFrozen: Bool) throws -> JSON {
        let path = try Guest.path(request["path"])
        // Never the warden's own file system, on which everything would wait.
        guard mounted.contains(path) else { throw SkalaError(.notFound, "nothing is mounted at \(path)") }
        try check(cl_freeze_files(path, isFrozen ? 1 : 0), isFrozen ? "freeze" : "thaw", path)
        return [:]
    }

    /// Mounts are gone only when the last one who sees them is: who opens a disk for himself learns whether it is free.
    private func checkUnused(_ device: String) throws {
        do throws(KernelError) {
            try OwnedDescriptor.open(device, O_RDONLY | O_EXCL).close()
        } catch {
            guard error.errno == EBUSY else { throw error }
            throw SkalaError(.conflict, "disk \(device) is still in use")
        }
    }
}
