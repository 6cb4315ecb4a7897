import Base
import CArchive
import CLinux
import Glibc
import Kernel

/// Unpacks one layer into an empty folder in the form overlayfs takes.
///
/// A layer comes from strangers: every path is resolved below the folder without following links (openat2
/// RESOLVE_BENEATH and RESOLVE_NO_SYMLINKS), entries and bytes are limited.
struct LayerUnpacker {
    static let entryLimit = 2_000_000
    private static let beneath = UInt64(RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS)

    private let root: OwnedDescriptor
    private var parent: (path: String, descriptor: OwnedDescriptor)?
    private var folderTimes: [(path: String, time: timespec)] = []
    /// Whether files keep the archive's owners; a copy into a container may not.
    private let keepsOwners: Bool
    /// Whether `.wh.` names are whiteouts (layers) or plain names (copies).
    private let hasWhiteouts: Bool
    /// Whether a file may take the place of a folder, and the reverse.
    private let replacesDirectories: Bool

    init(
        folder: OwnedDescriptor, keepsOwners: Bool = true, hasWhiteouts: Bool = true, replacesDirectories: Bool = true
    ) {
        self.replacesDirectories = replacesDirectories
        root = folder
        self.keepsOwners = keepsOwners
        self.hasWhiteouts = hasWhiteouts
    }

    /// Unpacks everything that is left in the archive.
    mutating func unpack(_ reader: ArchiveReader) throws {
        var count = 0
        while let entry = try reader.next() {
            count += 1
            guard count <= LayerUnpacker.entryLimit else {
                throw SkalaError(.invalid, "the archive has more than \(LayerUnpacker.entryLimit) entries")
            }
            guard let text = archive_entry_pathname(entry) else {
                throw SkalaError(.invalid, "an entry of the archive has no name")
            }
            let name = String(cString: text)
            do {
                try unpack(entry, name, reader)
            } catch let error as KernelError {
                throw error.asSkalaError.within("cannot unpack '\(name)'")
            }
        }
        for folder in folderTimes.reversed() { setTime(folder.path, folder.time) }
    }

    /// The path's parts; nil for the root itself.
    private func parts(_ name: String) throws(SkalaError) -> [Substring]? {
        let parts = name.split(separator: "/").filter { $0 != "." }
        guard !parts.contains(".."), !name.utf8.contains(0) else {
            throw SkalaError(.invalid, "the archive has a path that leads outside: '\(name)'")
        }
        return parts.isEmpty ? nil : parts
    }

    private mutating func unpack(_ entry: OpaquePointer, _ name: String, _ reader: ArchiveReader) throws {
        guard let parts = try parts(name), let last = parts.last else {
            try setAttributes(entry, of: root.raw, path: ".")
            return
        }
        let parentPath = parts.dropLast().joined(separator: "/")
        let parent = try folder(parentPath)
        let base = String(last)
        if hasWhiteouts, base.hasPrefix(".wh.") {
            try whiteout(base, in: parent)
            return
        }
        if let target = archive_entry_hardlink(entry) {
            try link(to: String(cString: target), as: base, in: parent)
            return
        }
        switch archive_entry_filetype(entry) {
        case S_IFDIR: try makeFolder(entry, base, in: parent, path: parts.joined(separator: "/"))
        case S_IFREG: try makeFile(entry, base, in: parent, reader)
        case S_IFLNK:
            remove(base, in: parent)
            let target = archive_entry_symlink(entry).map { String(cString: $0) } ?? ""
            try checkErrno(symlinkat(target, parent, base), "symlink", base)
            if keepsOwners { chown(entry, base, in: parent) }
        case S_IFCHR, S_IFBLK, S_IFIFO:
            remove(base, in: parent)
            let mode = UInt32(archive_entry_mode(entry))
            try checkErrno(mknodat(parent, base, mode, archive_entry_rdev(entry)), "mknod", base)
            if keepsOwners { chown(entry, base, in: parent) }
            fchmodat(parent, base, mode & 0o7777, 0)
        default: throw SkalaError(.invalid, "the archive has an entry of an unknown kind: '\(name)'")
        }
    }

    // MARK: places

    /// The descriptor of a folder below the root, made when missing. The last one is kept: entries come by folder.
    private mutating func folder(_ path: String) throws -> Int32 {
        if path.isEmpty { return root.raw }
        if let parent, parent.path == path { return parent.descriptor.raw }
        var descriptor = cl_openat2(
            root.raw, path, UInt64(O_RDONLY | CL_O_DIRECTORY), 0, LayerUnpacker.beneath)
        if descriptor == -ENOENT {
            try makeParents(path)
            descriptor = cl_openat2(root.raw, path, UInt64(O_RDONLY | CL_O_DIRECTORY), 0, LayerUnpacker.beneath)
        }
        guard descriptor >= 0 else {
            throw SkalaError(
                .invalid, "the archive writes through '\(path)', which is no folder",
                cause: KernelError("openat2", path, errno: -descriptor))
        }
        let owned = OwnedDescriptor(descriptor)
        parent = (path, owned)
        return owned.raw
    }

    private func makeParents(_ path: String) throws {
        var current = root
        for part in path.split(separator: "/").map(String.init) {
            if mkdirat(current.raw, part, 0o755) != 0, errno != EEXIST {
                throw KernelError("mkdir", part, errno: errno)
            }
            let next = cl_openat2(current.raw, part, UInt64(O_RDONLY | CL_O_DIRECTORY), 0, LayerUnpacker.beneath)
            current = OwnedDescriptor(try check(next, "openat2", part))
        }
    }

    /// Removes what a later entry of the same name replaces.
    private func remove(_ name: String, in parent: Int32) {
        if unlinkat(parent, name, 0) != 0, errno == EISDIR { unlinkat(parent, name, AT_REMOVEDIR) }
    }

    // MARK: kinds of entries

    private func whiteout(_ name: String, in parent: Int32) throws {
        if name == ".wh..wh..opq" {
            try checkErrno(fsetxattr(parent, "trusted.overlay.opaque", "y", 1, 0), "setxattr", "trusted.overlay.opaque")
            return
        }
        // Names of the form .wh..wh.x are aufs' own.
        if name.hasPrefix(".wh..wh.") { return }
        let hidden = String(name.dropFirst(4))
        guard !hidden.isEmpty, hidden != ".", hidden != ".." else {
            throw SkalaError(.invalid, "the archive has an invalid whiteout: '\(name)'")
        }
        remove(hidden, in: parent)
        try checkErrno(mknodat(parent, hidden, S_IFCHR, 0), "mknod", hidden)
    }

    private mutating func link(to target: String, as name: String, in parent: Int32) throws {
        guard let parts = try parts(target), let last = parts.last else {
            throw SkalaError(.invalid, "the archive has a hard link to its root")
        }
        let path = parts.dropLast().joined(separator: "/")
        let folder: OwnedDescriptor? =
            path.isEmpty
            ? nil
            : OwnedDescriptor(
                try check(
                    cl_openat2(root.raw, path, UInt64(O_RDONLY | CL_O_DIRECTORY), 0, LayerUnpacker.beneath),
                    "openat2", path))
        remove(name, in: parent)
        // Without AT_SYMLINK_FOLLOW a link to a symbolic link links the link itself.
        try checkErrno(linkat(folder?.raw ?? root.raw, String(last), parent, name, 0), "link", target)
    }

    private mutating func makeFolder(_ entry: OpaquePointer, _ name: String, in parent: Int32, path: String) throws {
        if mkdirat(parent, name, 0o755) != 0 {
            guard errno == EEXIST else { throw KernelError("mkdir", name, errno: errno) }
            var status = stat()
            try checkErrno(fstatat(parent, name, &status, AT_SYMLINK_NOFOLLOW), "stat", name)
            if status.st_mode & S_IFMT != S_IFDIR {
                guard replacesDirectories else {
                    throw SkalaError(.invalid, "cannot overwrite non-directory '\(path)' with a directory")
                }
                remove(name, in: parent)
                try checkErrno(mkdirat(parent, name, 0o755), "mkdir", name)
            }
        }
        let flags = UInt64(O_RDONLY | CL_O_DIRECTORY)
        let folder = OwnedDescriptor(
            try check(cl_openat2(parent, name, flags, 0, LayerUnpacker.beneath), "openat2", name))
        try setAttributes(entry, of: folder.raw, path: name)
        let time = timespec(tv_sec: archive_entry_mtime(entry), tv_nsec: archive_entry_mtime_nsec(entry))
        folderTimes.append((path, time))
    }

    private func makeFile(_ entry: OpaquePointer, _ name: String, in parent: Int32, _ reader: ArchiveReader) throws {
        var status = stat()
        let isFolder = fstatat(parent, name, &status, AT_SYMLINK_NOFOLLOW) == 0 && status.st_mode & S_IFMT == S_IFDIR
        guard replacesDirectories || !isFolder else {
            throw SkalaError(.invalid, "cannot overwrite directory '\(name)' with a file")
        }
        remove(name, in: parent)
        let flags = UInt64(O_WRONLY | O_CREAT | O_EXCL | CL_O_NOFOLLOW)
        let file = OwnedDescriptor(
            try check(cl_openat2(parent, name, flags, 0o600, LayerUnpacker.beneath), "openat2", name))
        var block: UnsafeRawPointer?
        var size = 0
        var offset: la_int64_t = 0
        while true {
            let status = archive_read_data_block(reader.tar, &block, &size, &offset)
            if status == ARCHIVE_EOF { break }
            guard status >= ARCHIVE_WARN else { throw reader.failure("damaged archive") }
            var written = 0
            while written < size {
                // What the archive leaves out stays a hole.
                let count = pwrite(file.raw, block?.advanced(by: written), size - written, Int(offset) + written)
                written += try checkErrno(count, "write", name)
            }
        }
        try checkErrno(ftruncate(file.raw, Int(archive_entry_size(entry))), "truncate", name)
        try setAttributes(entry, of: file.raw, path: name)
        var times = [
            timespec(tv_sec: archive_entry_mtime(entry), tv_nsec: archive_entry_mtime_nsec(entry)),
            timespec(tv_sec: archive_entry_mtime(entry), tv_nsec: archive_entry_mtime_nsec(entry)),
        ]
        futimens(file.raw, &times)
    }

    // MARK: attributes

    private func chown(_ entry: OpaquePointer, _ name: String, in parent: Int32) {
        fchownat(
            parent, name, UInt32(truncatingIfNeeded: archive_entry_uid(entry)),
            UInt32(truncatingIfNeeded: archive_entry_gid(entry)), AT_SYMLINK_NOFOLLOW)
    }

    private func setAttributes(_ entry: OpaquePointer, of descriptor: Int32, path: String) throws {
        if keepsOwners {
            let uid = UInt32(truncatingIfNeeded: archive_entry_uid(entry))
            let gid = UInt32(truncatingIfNeeded: archive_entry_gid(entry))
            try checkErrno(fchown(descriptor, uid, gid), "chown", path)
        }
        // After chown, which clears the set-user-id bits.
        try checkErrno(fchmod(descriptor, UInt32(archive_entry_mode(entry)) & 0o7777), "chmod", path)
        archive_entry_xattr_reset(entry)
        var name: UnsafePointer<CChar>?
        var value: UnsafeRawPointer?
        var size = 0
        while archive_entry_xattr_next(entry, &name, &value, &size) == ARCHIVE_OK {
            guard let name else { continue }
            // An archive must not speak to overlayfs itself.
            if String(cString: name).hasPrefix("trusted.overlay.") { continue }
            let status = fsetxattr(descriptor, name, value, size, 0)
            // A file system without this kind of attribute leaves it out, as tar does.
            if status != 0, errno != EOPNOTSUPP { throw KernelError("setxattr", path, errno: errno) }
        }
    }

    private func setTime(_ path: String, _ time: timespec) {
        let descriptor = cl_openat2(root.raw, path, UInt64(O_RDONLY | CL_O_DIRECTORY), 0, LayerUnpacker.beneath)
        guard descriptor >= 0 else { return }
        var times = [time, time]
        futimens(descriptor, &times)
        close(descriptor)
    }
}
