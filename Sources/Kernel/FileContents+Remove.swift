import Base
import CLinux
import Glibc

extension FileContents {
    /// Folders below each other that are descended into at a time: each keeps a descriptor open.
    private static let depthLimit = 64

    /// Removes a file, or a folder and everything below it, without following links. What is not there is no error.
    ///
    /// The tree may be a container's: names need not be UTF-8, and paths may be longer than any path the kernel takes.
    ///
    /// Tried a second time when it fails: descriptors may have run short for a moment.
    public static func removeTree(_ path: String) throws(KernelError) {
        do { try removeTreeOnce(path) } catch { try removeTreeOnce(path) }
    }

    /// The same for what an open folder has under a name, given as the kernel has it, with its zero.
    public static func removeTree(_ name: [CChar], in folder: Int32, _ path: String) throws(KernelError) {
        if unlinkat(folder, name, 0) == 0 || errno == ENOENT { return }
        guard errno == EISDIR || errno == EPERM else { throw KernelError("unlink below", path, errno: errno) }
        let opened = cl_openat(folder, name, O_RDONLY | CL_O_DIRECTORY | CL_O_NOFOLLOW, 0)
        let below = OwnedDescriptor(try check(opened, "open below", path))
        try removeContents(of: below.raw, path)
        below.close()
        try checkErrno(unlinkat(folder, name, AT_REMOVEDIR), "rmdir below", path)
    }

    private static func removeTreeOnce(_ path: String) throws(KernelError) {
        if unlink(path) == 0 || errno == ENOENT { return }
        guard errno == EISDIR || errno == EPERM else { throw KernelError("unlink", path, errno: errno) }
        let opened = cl_open(path, O_RDONLY | CL_O_DIRECTORY | CL_O_NOFOLLOW, 0)
        let top = OwnedDescriptor(try check(opened, "open", path))
        try removeContents(of: top.raw, path)
        try checkErrno(rmdir(path), "rmdir", path)
    }

    /// Removes all that is in an open folder.
    public static func removeContents(of top: Int32, _ path: String) throws(KernelError) {
        // What lies too deep is moved up, and found again by the next turn.
        var moved = 0
        var before: Int
        repeat {
            before = moved
            try empty(top, top: top, depth: 0, moved: &moved, path)
        } while moved != before
    }

    /// One turn of that.
    private static func empty(
        _ folder: Int32, top: Int32, depth: Int, moved: inout Int, _ path: String
    ) throws(KernelError) {
        for name in try names(in: folder, path) {
            if unlinkat(folder, name, 0) == 0 || errno == ENOENT { continue }
            guard errno == EISDIR || errno == EPERM else { throw KernelError("unlink below", path, errno: errno) }
            if depth == depthLimit {
                moved += 1
                // A name that nobody in the tree can have guessed.
                try checkErrno(renameat(folder, name, top, Identifier.make()), "rename below", path)
                continue
            }
            let flags = O_RDONLY | CL_O_DIRECTORY | CL_O_NOFOLLOW
            let child = OwnedDescriptor(try check(cl_openat(folder, name, flags, 0), "open below", path))
            try empty(child.raw, top: top, depth: depth + 1, moved: &moved, path)
            child.close()
            try checkErrno(unlinkat(folder, name, AT_REMOVEDIR), "rmdir below", path)
        }
    }

    /// The names in an open folder as the kernel has them, each with its zero: a String would mend what is no UTF-8, and
    /// then not be found. `path` is for the error.
    public static func names(in folder: Int32, _ path: String) throws(KernelError) -> [[CChar]] {
        let copy = OwnedDescriptor(try check(cl_openat(folder, ".", O_RDONLY | CL_O_DIRECTORY, 0), "open", path))
        guard let stream = fdopendir(copy.raw) else { throw KernelError("fdopendir", path, errno: errno) }
        _ = copy.take()
        defer { closedir(stream) }
        var names: [[CChar]] = []
        let dot = CChar(bitPattern: UInt8(ascii: "."))
        while let entry = readdir(stream) {
            let name = withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
                Array(bytes.bindMemory(to: CChar.self).prefix { $0 != 0 }) + [0]
            }
            if name != [dot, 0], name != [dot, dot, 0] { names.append(name) }
        }
        return names.sorted { $0.lexicographicallyPrecedes($1) }
    }
}
