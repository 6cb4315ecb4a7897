import CLinux
import Glibc
import CSeccomp

/// How much the files below a folder take.
public enum DiskUsage {
    /// The sum of the sizes of all files below `path`, each hard-linked file once. Folders that vanish meanwhile, and what
    /// lies deeper than a path can name, count nothing.
    ///
    /// - Parameter allocated: counts what they take on the disk instead, so that holes count nothing.
    public static func bytes(below path: String, allocated: Bool = false) throws(KernelError) -> Int64 {
        var total: Int64 = 0
        var seen = Set<UInt64>()
        // Bytes: a String would mend a name that is no UTF-8, and then not find it.
        var folders = [Array(path.utf8CString)]
        let dot = CChar(bitPattern: UInt8(ascii: "."))
        let slash = CChar(bitPattern: UInt8(ascii: "/"))
        while let folder = folders.popLast() {
            guard let directory = opendir(folder) else {
                if errno == ENOENT || errno == ENOTDIR || errno == ENAMETOOLONG { continue }
                throw KernelError("opendir below", path, errno: errno)
            }
            defer { closedir(directory) }
            while let entry = readdir(directory) {
                let name = withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
                    Array(bytes.bindMemory(to: CChar.self).prefix { $0 != 0 }) + [0]
                }
                if name == [dot, 0] || name == [dot, dot, 0] { continue }
                var status = stat()
                guard fstatat(dirfd(directory), name, &status, AT_SYMLINK_NOFOLLOW) == 0 else { continue }
                if status.st_mode & S_IFMT == S_IFDIR {
                    folders.append(folder.dropLast() + [slash] + name)
                } else if status.st_nlink < 2 || seen.insert(UInt64(status.st_ino)).inserted {
                    // Sparse files may claim more than there is anywhere.
                    let bytes = allocated ? Int64(status.st_blocks) * 512 : Int64(status.st_size)
                    let (sum, overflow) = total.addingReportingOverflow(bytes)
                    total = overflow ? .max : sum
                }
            }
        }
        return total
    }
}
