public import Base
import CLinux
import Glibc
import Kernel

/// Copies files between a container and tar archives: `docker cp` and `docker export`. Blocking.
///
/// `root` is a descriptor of the container's root folder; paths are resolved as if it were `/` (openat2 RESOLVE_IN_ROOT),
/// so that no link in the container leads to a file of the host.
public enum ContainerFiles {
    /// The parent folder and base name of a path, with links in the parent resolved.
    private static func locate(_ path: String, in root: Int32) throws -> (parent: OwnedDescriptor, name: [CChar]) {
        // By bytes: a combining character behind a slash makes one Character of both.
        let parts = path.utf8.split(separator: UInt8(ascii: "/")).map { String(Substring($0)) }.filter { $0 != "." }
        // `a/..` and `/` have no name of their own: the folder itself, as ".".
        let hasName = parts.last.map { $0 != ".." } ?? false
        let folder = hasName ? "/" + parts.dropLast().joined(separator: "/") : "/" + parts.joined(separator: "/")
        let flags = UInt64(CL_O_PATH | CL_O_DIRECTORY)
        let opened = cl_openat2(root, folder, flags, 0, UInt64(RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS))
        guard opened >= 0 else { throw missing(path, -opened) }
        return (OwnedDescriptor(opened), Array((hasName ? parts.last ?? "." : ".").utf8CString))
    }

    private static func missing(_ path: String, _ error: Int32) -> SkalaError {
        error == ENOENT || error == ENOTDIR
            ? SkalaError(.notFound, "Could not find the file \(path) in container")
            : KernelError("open", path, errno: error).asSkalaError
    }

    /// The document Docker puts into `X-Docker-Container-Path-Stat`.
    public static func stat(_ path: String, in root: Int32) throws -> JSON {
        let (parent, name) = try locate(path, in: root)
        var status = Glibc.stat()
        guard fstatat(parent.raw, name, &status, AT_SYMLINK_NOFOLLOW) == 0 else { throw missing(path, errno) }
        var target = ""
        if status.st_mode & S_IFMT == S_IFLNK {
            var buffer = [CChar](repeating: 0, count: 4097)
            let count = readlinkat(parent.raw, name, &buffer, 4096)
            target = String(decoding: buffer.prefix(max(0, count)).map(UInt8.init(bitPattern:)), as: UTF8.self)
            // Relative targets are given from the root, as the client asks for them next.
            if !target.hasPrefix("/") {
                let folder = "/" + path.split(separator: "/").dropLast().joined(separator: "/")
                target = folder == "/" ? "/" + target : folder + "/" + target
            }
        }
        let nanoseconds = Int64(status.st_mtim.tv_sec) * 1_000_000_000 + Int64(status.st_mtim.tv_nsec)
        let base = path.split(separator: "/").last.map(String.init) ?? "/"
        return [
            "name": JSON(base), "size": JSON(Int64(status.st_size)), "mode": JSON(goMode(status.st_mode)),
            "mtime": JSON(Timestamp(nanoseconds: nanoseconds).text), "linkTarget": JSON(target),
        ]
    }

    /// The mode bits as Go's `os.FileMode` has them, which is what the API shows.
    private static func goMode(_ mode: UInt32) -> UInt32 {
        var result = mode & 0o777
        switch mode & S_IFMT {
        case S_IFDIR: result |= 1 << 31
        case S_IFLNK: result |= 1 << 27
        case S_IFBLK: result |= 1 << 26
        case S_IFIFO: result |= 1 << 25
        case S_IFSOCK: result |= 1 << 24
        case S_IFCHR: result |= 1 << 26 | 1 << 21
        default: break
        }
        if mode & S_ISUID != 0 { result |= 1 << 23 }
        if mode & S_ISGID != 0 { result |= 1 << 22 }
        if mode & S_ISVTX != 0 { result |= 1 << 20 }
        return result
    }

    /// Writes a file or folder as an archive whose entries begin with the path's last part.
    public static func pack(_ path: String, in root: Int32, to output: Int32) throws {
        let (parent, name) = try locate(path, in: root)
        var status = Glibc.stat()
        guard fstatat(parent.raw, name, &status, AT_SYMLINK_NOFOLLOW) == 0 else { throw missing(path, errno) }
        let writer = ArchiveWriter(descriptor: output)
        let folder = try reopened(parent)
        // As Docker: of the root, "/" and "/bin/", which the docker CLI puts a folder's name in front of.
        let isRoot = path.utf8.allSatisfy { $0 == UInt8(ascii: "/") }
        try writer.add(name, in: folder.raw, as: isRoot ? [] : name.dropLast().map(UInt8.init(bitPattern:)))
        try writer.finish()
    }

    /// A descriptor that can be read in place of one opened with O_PATH.
    private static func reopened(_ descriptor: OwnedDescriptor) throws -> OwnedDescriptor {
        OwnedDescriptor(try check(cl_openat(descriptor.raw, ".", O_RDONLY | CL_O_DIRECTORY, 0), "open", "."))
    }

    /// Unpacks an archive into a folder that exists.
    ///
    /// - Parameter replacesDirectories: false refuses to put a file in a folder's place and the reverse.
    /// - Throws: `.notFound` when the folder is missing; `.invalid` when it is none, or the archive is damaged.
    public static func unpack(
        _ source: some TarSource, into root: Int32, path: String, replacesDirectories: Bool
    ) throws {
        let flags = UInt64(O_RDONLY | CL_O_DIRECTORY)
        let opened = cl_openat2(root, path, flags, 0, UInt64(RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS))
        if opened == -ENOTDIR { throw SkalaError(.invalid, "extraction point is not a directory") }
        guard opened >= 0 else { throw missing(path, -opened) }
        var unpacker = LayerUnpacker(
            folder: OwnedDescriptor(opened), hasWhiteouts: false, replacesDirectories: replacesDirectories)
        try unpacker.unpack(source)
    }

    /// Writes what a container wrote over its image, overlayfs' upper folder, as a layer.
    public static func writeLayer(_ upper: String, to output: Int32) throws {
        let folder = try OwnedDescriptor.open(upper, O_RDONLY | CL_O_DIRECTORY)
        let writer = ArchiveWriter(descriptor: output)
        try writer.addContents(of: folder.raw, upper, overlay: true)
        try writer.finish()
    }

    /// Writes everything below the root, but not what is mounted at /proc, /sys and /dev.
    public static func exportTree(_ root: Int32, to output: Int32) throws {
        let folder = OwnedDescriptor(try check(cl_openat(root, ".", O_RDONLY | CL_O_DIRECTORY, 0), "open", "/"))
        let writer = ArchiveWriter(descriptor: output)
        try writer.addContents(of: folder.raw, "/", except: ["proc", "sys", "dev"])
        try writer.finish()
    }
}
