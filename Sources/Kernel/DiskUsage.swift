import CLinux
import Glibc
import CSeccomp

/// How much the files below a folder take.
public enum DiskUsage {
    /// The sum of the sizes of all files below `path`, each hard-linked file once. Folders that vanish meanwhile, and what
    /// lies deeper than a path can name, count nothing.
    public static func bytes(below path: String) throws(KernelError) -> Int64 {
        var total: Int64 = 0
        var seen = Set<UInt64>()
        var folders = [path]
        while let folder = folders.popLast() {
            guard let directory = opendir(folder) else {
                if errno == ENOENT || errno == ENOTDIR || errno == ENAMETOOLONG { continue }
                throw KernelError("opendir", folder, errno: errno)
            }
            defer { closedir(directory) }
            while let entry = readdir(directory) {
                let name = withUnsafePointer(to: &entry.pointee.d_name) {
                    $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
                }
                if name == "." || name == ".." { continue }
                var status = stat()
                guard fstatat(dirfd(directory), name, &status, AT_SYMLINK_NOFOLLOW) == 0 else { continue }
                if status.st_mode & S_IFMT == S_IFDIR {
                    folders.append(folder + "/" + name)
                } else if status.st_nlink < 2 || seen.insert(UInt64(status.st_ino)).inserted {
                    // Sparse files may claim more than there is anywhere.
                    let (sum, overflow) = total.addingReportingOverflow(Int64(status.st_size))
                    total = overflow ? .max : sum
                }
            }
        }
        return total
    }
}
