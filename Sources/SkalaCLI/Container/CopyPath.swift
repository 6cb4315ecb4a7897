import Glibc

/// Paths as `cp` reads them.
enum CopyPath {
    /// The last part, without slashes at the end.
    static func name(_ path: String) -> String {
        String(path.split(separator: "/").last ?? "/")
    }

    /// The folder above; `.` for a name alone.
    static func folder(_ path: String) -> String {
        let parts = path.split(separator: "/")
        guard parts.count > 1 else { return path.hasPrefix("/") ? "/" : "." }
        return (path.hasPrefix("/") ? "/" : "") + parts.dropLast().joined(separator: "/")
    }

    /// `DIR/.` means the folder's contents, not the folder.
    static func meansContents(_ path: String) -> Bool { path == "." || path.hasSuffix("/.") }

    static func isFolder(_ path: String) -> Bool {
        var information = stat()
        return stat(path, &information) == 0 && information.st_mode & S_IFMT == S_IFDIR
    }

    static func exists(_ path: String) -> Bool {
        var information = stat()
        return lstat(path, &information) == 0
    }

    /// The bit of Go's file modes that marks folders, as `X-Docker-Container-Path-Stat` has it.
    static let folderMode: Int64 = 1 << 31
    static let linkMode: Int64 = 1 << 27
}
