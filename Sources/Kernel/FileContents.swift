import CLinux
import Glibc

/// Whole small files.
public enum FileContents {
    /// Reads a file of at most `limit` bytes.
    ///
    /// - Throws: `EFBIG` when it is longer.
    public static func read(_ path: String, limit: Int = 16 << 20) throws(KernelError) -> [UInt8] {
        try read(OwnedDescriptor.open(path, O_RDONLY), path, limit: limit)
    }

    /// Reads `path` with every symbolic link resolved as if `root` were `/` (openat2 RESOLVE_IN_ROOT): nothing a
    /// container put there leads outside.
    public static func read(_ path: String, inRoot root: String, limit: Int = 1 << 20) throws(KernelError) -> [UInt8] {
        let directory = try OwnedDescriptor.open(root, CL_O_PATH | CL_O_DIRECTORY)
        let flags = UInt64(O_RDONLY | O_NONBLOCK)
        let file = try check(cl_openat2(directory.raw, path, flags, 0, UInt64(RESOLVE_IN_ROOT)), "openat2", path)
        return try read(OwnedDescriptor(file), path, limit: limit)
    }

    private static func read(
        _ descriptor: OwnedDescriptor, _ path: String, limit: Int
    ) throws(KernelError) -> [UInt8] {
        var contents: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 16 * 1024)
        while true {
            let count = try checkErrno(Glibc.read(descriptor.raw, &buffer, buffer.count), "read", path)
            if count == 0 { return contents }
            contents.append(contentsOf: buffer[0..<count])
            guard contents.count <= limit else { throw KernelError("read", path, errno: EFBIG) }
        }
    }

    /// Replaces the file at `path` at once: readers see the old or the new contents, never a part.
    public static func replace(_ path: String, with contents: [UInt8], mode: UInt32 = 0o644) throws(KernelError) {
        let temporary = path + ".new"
        do {
            let file = try OwnedDescriptor.open(temporary, O_WRONLY | O_CREAT | O_TRUNC, mode: mode)
            try write(contents, to: file.raw, path)
        } catch {
            unlink(temporary)
            throw error
        }
        try checkErrno(rename(temporary, path), "rename", path)
    }

    /// Writes over the file at `path` in place: for files that are bound into containers, whose inode must stay.
    public static func overwrite(_ path: String, with contents: [UInt8], mode: UInt32 = 0o644) throws(KernelError) {
        let file = try OwnedDescriptor.open(path, O_WRONLY | O_CREAT | O_TRUNC, mode: mode)
        try write(contents, to: file.raw, path)
    }

    /// Writes all of `contents` where the descriptor stands; `path` is for the error.
    public static func append(_ contents: [UInt8], to descriptor: Int32, _ path: String) throws(KernelError) {
        try write(contents, to: descriptor, path)
    }

    private static func write(_ contents: [UInt8], to descriptor: Int32, _ path: String) throws(KernelError) {
        var written = 0
        while written < contents.count {
            let count = contents.withUnsafeBytes {
                Glibc.write(descriptor, $0.baseAddress?.advanced(by: written), contents.count - written)
            }
            written += try checkErrno(count, "write", path)
        }
    }

    /// Makes a folder and those above it.
    public static func makeDirectories(_ path: String, mode: UInt32 = 0o755) throws(KernelError) {
        // The last one first: those above it are there most times.
        if mkdir(path, mode) == 0 || errno == EEXIST { return }
        guard errno == ENOENT, let slash = path.lastIndex(of: "/"), slash != path.startIndex else {
            throw KernelError("mkdir", path, errno: errno)
        }
        try makeDirectories(String(path[..<slash]), mode: mode)
        if mkdir(path, mode) != 0, errno != EEXIST { throw KernelError("mkdir", path, errno: errno) }
    }
}

extension FileContents {
    /// The names in a folder, sorted, without `.` and `..`.
    public static func names(in path: String) throws(KernelError) -> [String] {
        guard let directory = opendir(path) else { throw KernelError("opendir", path, errno: errno) }
        defer { closedir(directory) }
        var names: [String] = []
        while let entry = readdir(directory) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name != ".", name != ".." { names.append(name) }
        }
        return names.sorted()
    }
}
