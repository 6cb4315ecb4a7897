import Base
import CLinux
import Glibc
import Kernel

/// The writable disk of a VM: a sparse file with an ext4 file system. Blocking.
public enum DiskImage {
    /// Makes a disk as a copy of an empty one, which is made first when it is not there: copying its few hundred KiB
    /// takes a millisecond, mkfs twenty.
    ///
    /// - Parameters:
    ///   - bytes: what the file system may grow to; the file takes what is written.
    ///   - folder: where empty disks are kept.
    public static func make(at path: String, bytes: Int64, emptyDisksIn folder: String) throws {
        let empty = "\(folder)/empty-\(bytes >> 20)m.img"
        if access(empty, R_OK) != 0 { try format(empty, bytes: bytes) }
        try copySparse(from: empty, to: path)
    }

    private static func format(_ path: String, bytes: Int64) throws {
        let temporary = "\(path).\(getpid()).new"
        try OwnedDescriptor.open(temporary, O_RDWR | O_CREAT | O_TRUNC).close()
        do {
            try checkErrno(truncate(temporary, Int(bytes)), "truncate", temporary)
            let status = try Subprocess.run([
                "/sbin/mkfs.ext4", "-q", "-F", "-m", "0", "-b", "4096", "-J", "size=4", "-O", "^resize_inode", "-E",
                "lazy_itable_init=1,lazy_journal_init=1,nodiscard", temporary,
            ])
            guard status == 0 else { throw SkalaError(.system, "mkfs.ext4 failed with status \(status)") }
            try checkErrno(rename(temporary, path), "rename", path)
        } catch {
            unlink(temporary)
            throw error
        }
    }

    private static func copySparse(from source: String, to target: String) throws {
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
