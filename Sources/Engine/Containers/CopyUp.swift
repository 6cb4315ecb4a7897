import CLinux
import Glibc
import Kernel

/// Copies what an image has at a path into a new, empty volume, as Docker does when a volume is first used.
struct CopyUp {
    /// Unpacked layers, topmost first.
    let layers: [String]
    let path: String

    /// Blocking. Does nothing when the volume has something in it, or the image nothing at the path.
    func copy(into target: String) throws(KernelError) {
        guard try FileContents.names(in: target).isEmpty else { return }
        for layer in layers {
            let root = try OwnedDescriptor.open(layer, CL_O_PATH | CL_O_DIRECTORY)
            let flags = UInt64(O_RDONLY | CL_O_DIRECTORY)
            let found = cl_openat2(root.raw, path, flags, 0, UInt64(RESOLVE_IN_ROOT))
            guard found >= 0 else { continue }
            let source = OwnedDescriptor(found)
            // coreutils keeps owners, modes, times, links, sparse files and extended attributes; -n keeps what a
            // higher layer gave.
            let status = try Subprocess.run(
                ["/bin/cp", "-a", "-n", "-T", "/proc/self/fd/3/.", target], inheriting: source.raw)
            guard status == 0 else { throw KernelError("cp -a", path, errno: EIO) }
            if isOpaque(found) { break }
        }
        try removeWhiteouts(target)
    }

    private func isOpaque(_ descriptor: Int32) -> Bool {
        var value: UInt8 = 0
        return fgetxattr(descriptor, "trusted.overlay.opaque", &value, 1) == 1 && value == UInt8(ascii: "y")
    }

    /// overlayfs marks a removed file with a character device 0:0; in a volume it means nothing.
    private func removeWhiteouts(_ path: String) throws(KernelError) {
        for name in try FileContents.names(in: path) {
            var status = stat()
            let file = path + "/" + name
            guard lstat(file, &status) == 0 else { throw KernelError("lstat", file, errno: errno) }
            if status.st_mode & S_IFMT == S_IFCHR, status.st_rdev == 0 { unlink(file) }
            if status.st_mode & S_IFMT == S_IFDIR { try removeWhiteouts(file) }
        }
    }
}
