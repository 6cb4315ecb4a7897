import Base
import CLinux
import Glibc
import Kernel

/// The writable disk of a VM: a sparse file with an ext4 file system. Blocking.
public enum DiskImage {
    /// Makes an empty disk.
    ///
    /// - Parameters:
    ///   - bytes: what the file system may grow to; the file takes what is written.
    ///   - folder: what it is to hold from the beginning; nil is nothing.
    public static func format(_ path: String, bytes: Int64, holding folder: String? = nil) throws {
        let temporary = "\(path).\(getpid()).new"
        try OwnedDescriptor.open(temporary, O_RDWR | O_CREAT | O_TRUNC).close()
        do {
            try checkErrno(truncate(temporary, Int(bytes)), "truncate", temporary)
            let content = folder.map { ["-d", $0] } ?? []
            let status = try Subprocess.run(
                [
                    "/sbin/mkfs.ext4", "-q", "-F", "-m", "0", "-b", "4096", "-J", "size=4", "-O", "^resize_inode", "-E",
                    "lazy_itable_init=1,lazy_journal_init=1,nodiscard",
                ] + content + [temporary])
            guard status == 0 else { throw SkalaError(.system, "mkfs.ext4 failed with status \(status)") }
            try checkErrno(rename(temporary, path), "rename", path)
        } catch {
            unlink(temporary)
            throw error
        }
    }

    /// Copies a disk with its holes: a template's few hundred KiB take less than a millisecond.
    public static func copy(_ source: String, to target: String) throws {
        let input = try OwnedDescriptor.open(source, O_RDONLY)
        let output = try OwnedDescriptor.open(target, O_WRONLY | O_CREAT | O_EXCL)
        do {
            try check(cl_copy_sparse(input.raw, output.raw), "copy", target)
        } catch {
            unlink(target)
            throw error
        }
    }
}
