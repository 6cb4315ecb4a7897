import CLinux
import Glibc

/// Makes what was written outlive a power failure of the host. Blocking.
public enum DiskSync {
    public static func file(_ path: String) throws(KernelError) {
        // Of a link or a pipe there is nothing to be written.
        let file = try OwnedDescriptor.open(path, O_RDONLY | O_NONBLOCK | CL_O_NOFOLLOW)
        try checkErrno(fsync(file.raw), "fsync", path)
    }

    /// A folder and all that is in it. Plain files are written out one by one; when there are folders below, with links and
    /// devices, all of the file system is: the time that takes does not grow with the number of files.
    public static func tree(_ path: String) throws(KernelError) {
        let names = try FileContents.names(in: path)
        for name in names {
            var status = stat()
            try checkErrno(lstat(path + "/" + name, &status), "stat", path + "/" + name)
            guard status.st_mode & S_IFMT == S_IFREG else {
                let folder = try OwnedDescriptor.open(path, O_RDONLY)
                try check(cl_sync_files(folder.raw), "syncfs", path)
                return
            }
        }
        for name in names { try file(path + "/" + name) }
        try file(path)
    }
}
