import Base
import CLinux
import Glibc
import Kernel

/// Containers of a pod leave their VM while it goes on.
extension Guest {
    /// The PCI slots that folders of the host may be plugged into.
    private static let shareSlots = 14...29
    /// How long the kernel may take to write out and free what an ended container had mounted, in milliseconds.
    private static let patience = 3000

    /// Lets go of what `configure` gave to one container, so that it can be taken away: everything below `folder`, the
    /// disks with these serial numbers, and the folders of the host in that PCI slot.
    ///
    /// - Throws: `.conflict` when something still uses one of the disks.
    func dismiss(_ request: JSON) throws -> JSON {
        let folder = try Guest.path(request["folder"])
        for path in mounted.reversed() where path.hasPrefix(folder + "/") { try unmount(path) }
        for serial in request["disks"].strings ?? [] {
            guard let device = try device(of: serial) else {
                throw SkalaError(.notFound, "the VM has no disk '\(serial)'")
            }
            try waitUntilUnused(device)
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

    /// Mounts are gone only when the last one who sees them is: who opens a disk for himself learns whether it is free.
    private func waitUntilUnused(_ device: String) throws {
        for _ in 0..<Guest.patience {
            do throws(KernelError) {
                try OwnedDescriptor.open(device, O_RDONLY | O_EXCL).close()
                return
            } catch {
                guard error.errno == EBUSY else { throw error }
                usleep(1000)
            }
        }
        throw SkalaError(.conflict, "disk \(device) is still in use")
    }
}
