import CLinux
import Glibc
public import Kernel

/// An entry of a layer's folder, with the marks by which overlayfs hides what layers below it have.
public struct OverlayFile {
    public let isFolder: Bool
    /// A removed file: a character device 0:0.
    public let isWhiteout: Bool

    init(_ status: stat) {
        isFolder = status.st_mode & S_IFMT == S_IFDIR
        isWhiteout = status.st_mode & S_IFMT == S_IFCHR && status.st_rdev == 0
    }

    /// nil when there is nothing of the name, which is as the kernel has it, with its zero.
    public init?(_ name: [CChar], in folder: Int32) {
        var status = stat()
        guard fstatat(folder, name, &status, AT_SYMLINK_NOFOLLOW) == 0 else { return nil }
        self.init(status)
    }

    /// The folder of the name; nil when it has gone.
    public static func open(_ name: [CChar], in folder: Int32, _ path: String) throws(KernelError) -> OwnedDescriptor? {
        let opened = cl_openat(folder, name, O_RDONLY | CL_O_DIRECTORY | CL_O_NOFOLLOW, 0)
        return opened == -ENOENT ? nil : OwnedDescriptor(try check(opened, "open below", path))
    }

    /// Whether a folder, opened but not by O_PATH, hides the one below it.
    public static func isOpaque(_ folder: Int32) -> Bool {
        var value: UInt8 = 0
        return fgetxattr(folder, "trusted.overlay.opaque", &value, 1) == 1 && value == UInt8(ascii: "y")
    }
}
