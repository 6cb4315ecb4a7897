import Base
import Glibc
import Kernel

/// An image's root file system as a read-only disk: made once, shared by all VMs of that image. Blocking.
public enum RootImage {
    /// Writes the layers' union as a squashfs file.
    ///
    /// Without compression of the data: the host has the file in its cache once for all VMs, and a guest under emulation
    /// would decompress slowly.
    ///
    /// - Parameter layers: folders in the form overlayfs takes, topmost first.
    /// - Throws: `.unavailable` when Debian's squashfs-tools are missing.
    public static func make(layers: [String], at path: String) throws {
        guard let program = Subprocess.find("mksquashfs", path: "/usr/bin:/usr/sbin:/bin:/sbin") else {
            throw SkalaError(.unavailable, "VMs need mksquashfs (Debian: squashfs-tools)")
        }
        let temporary = path + ".new"
        let mountPoint = path + ".mount"
        unlink(temporary)
        try FileContents.makeDirectories(mountPoint)
        defer { rmdir(mountPoint) }
        // One layer alone cannot be mounted; a second, empty one below changes nothing.
        let empty = path + ".empty"
        try FileContents.makeDirectories(empty)
        defer { rmdir(empty) }
        // The mount lives in a namespace of its own, and goes with the program, however that ends.
        let script = """
            mount -t overlay -o "ro,lowerdir=$1" overlay "$2" && exec "$3" "$2" "$4" -noappend -no-progress -quiet \
            -noI -noD -noF -noX -no-recovery
            """
        let status = try Subprocess.run([
            "/usr/bin/unshare", "--mount", "/bin/sh", "-c", script, "sh",
            (layers + [empty]).joined(separator: ":"), mountPoint, program, temporary,
        ])
        guard status == 0 else {
            unlink(temporary)
            throw SkalaError(.system, "mksquashfs failed with status \(status)")
        }
        try checkErrno(rename(temporary, path), "rename", path)
    }
}
