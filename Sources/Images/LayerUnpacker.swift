import Base
import CArchive
import CLinux
import Glibc
import Kernel
import CCurl
import CCrypto

/// Unpacks one layer into an empty folder in the form overlayfs takes.
///
/// A layer comes from strangers: every path is resolved below the folder without following links (openat2
/// RESOLVE_BENEATH and RESOLVE_NO_SYMLINKS), entries and bytes are limited. Names are bytes, not text: what is no UTF-8
/// stays as it is, and a slash is one whatever character follows it.
struct LayerUnpacker {
    /// A name or path as the kernel takes it: its bytes and a zero.
    private typealias Name = [CChar]

    static let entryLimit = 2_000_000
    private static let beneath = UInt64(RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS)

    private let root: OwnedDescriptor
    private var parent: (path: Name, descriptor: OwnedDescriptor)?
    private var folderTimes: [(path: Name, time: timespec)] = []
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
            do {
                try unpack(entry, text, reader)
            } catch let error as KernelError {
                throw error.asSkalaError.within("cannot unpack '\(String(cString: text))'")
            }
        }
        for folder in folderTimes.reversed() { setTime(folder.path, folder.time) }
    }

    /// The path's parts; none for the root itself.
    private func parts(_ path: UnsafePointer<CChar>) throws(SkalaError) -> [ArraySlice<CChar>] {
        let slash = CChar(bitPattern: UInt8(ascii: "/"))
        let dot = CChar(bitPattern: UInt8(ascii: "."))
        let bytes = Array(UnsafeBufferPointer(start: path, count: strlen(path)))
        let parts = bytes.split(separator: slash).filter { !$0.elementsEqual([dot]) }
        guard !parts.contains(where: { $0.elementsEqual([dot, dot]) }) else {
            throw SkalaError(.invalid, "the archive has a path that leads outside: '\(String(cString: path))'")
        }
        return parts
    }

    private static func join(_ parts: some Collection<ArraySlice<CChar>>) -> Name {
        Array(parts.joined(separator: [CChar(bitPattern: UInt8(ascii: "/"))])) + [0]
    }

    private static func text(_ name: Name) -> String {
        String(decoding: name.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
    }

    private mutating func unpack(
        _ entry: OpaquePointer, _ path: UnsafePointer<CChar>, _ reader: ArchiveReader
    ) throws {
        let parts = try parts(path)
        guard let last = parts.last else {
            try setAttributes(entry, of: root.raw, path: ".")
            return
        }
        let parent = try folder(LayerUnpacker.join(parts.dropLast()))
        let base = Array(last) + [0]
        if hasWhiteouts, LayerUnpacker.text(base).utf8.starts(with: ".wh.".utf8) {
            try whiteout(base, in: parent)
            return
        }
        if let target = archive_entry_hardlink(entry) {
            try link(to: target, as: base, in: parent)
            return
        }
        let name = LayerUnpacker.text(base)
        switch archive_entry_filetype(entry) {
        case S_IFDIR: try makeFolder(entry, base, in: parent, path: LayerUnpacker.join(parts))
        case S_IFREG: try makeFile(entry, base, in: parent, reader)
        case S_IFLNK:
            remove(base, in: parent)
            guard let target = archive_entry_symlink(entry) else {
                throw SkalaError(.invalid, "the archive has a symbolic link without a target: '\(name)'")
            }
            try checkErrno(symlinkat(target, parent, base), "symlink", name)
            if keepsOwners { chown(entry, base, in: parent) }
        case S_IFCHR, S_IFBLK, S_IFIFO:
            remove(base, in: parent)
            let mode = UInt32(archive_entry_mode(entry))
            try checkErrno(mknodat(parent, base, mode, archive_entry_rdev(entry)), "mknod", name)
            if keepsOwners { chown(entry, base, in: parent) }
            fchmodat(parent, base, mode & 0o7777, 0)
        default: throw SkalaError(.invalid, "the archive has an entry of an unknown kind: '\(name)'")
        }
    }

    // MARK: places

    /// The descriptor of a folder below the root, made when missing. The last one is kept: entries come by folder.
    private mutating func folder(_ path: Name) throws -> Int32 {
        if path.count == 1 { return root.raw }
        if let parent, parent.path == path { return parent.descriptor.raw }
        var descriptor = cl_openat2(
            root.raw, path, UInt64(O_RDONLY | CL_O_DIRECTORY), 0, LayerUnpacker.beneath)
        if descriptor == -ENOENT {
            try makeParents(path)
            descriptor = cl_openat2(root.raw, path, UInt64(O_RDONLY | CL_O_DIRECTORY), 0, LayerUnpacker.beneath)
        }
        guard descriptor >= 0 else {
            let text = LayerUnpacker.text(path)
            throw SkalaError(
                .invalid, "the archive writes through '\(text)', which is no folder",
                cause: KernelError("openat2", text, errno: -descriptor))
        }
        let owned = OwnedDescriptor(descriptor)
        parent = (path, owned)
        return owned.raw
    }

    private func makeParents(_ path: Name) throws {
        var current = root
        for part in try parts(path).map({ Array($0) + [0] }) {
            if mkdirat(current.raw, part, 0o755) != 0, errno != EEXIST {
                throw KernelError("mkdir", LayerUnpacker.text(part), errno: errno)
            }
            let next = cl_openat2(current.raw, part, UInt64(O_RDONLY | CL_O_DIRECTORY), 0, LayerUnpacker.beneath)
            // What is there may be a link or a file: the caller says so.
            if next == -ELOOP || next == -ENOTDIR { return }
            current = OwnedDescriptor(try check(next, "openat2", LayerUnpacker.text(part)))
        }
    }

    /// Removes what a later entry of the same name replaces.
    private func remove(_ name: Name, in parent: Int32) {
        if unlinkat(parent, name, 0) != 0, errno == EISDIR { unlinkat(parent, name, AT_REMOVEDIR) }
    }

    // MARK: kinds of entries

    private func whiteout(_ name: Name, in parent: Int32) throws {
        let text = LayerUnpacker.text(name)
        if text == ".wh..wh..opq" {
            try checkErrno(fsetxattr(parent, "trusted.overlay.opaque", "y", 1, 0), "setxattr", "trusted.overlay.opaque")
            return
        }
        // Names of the form .wh..wh.x are aufs' own.
        if text.hasPrefix(".wh..wh.") { return }
        let hidden = Array(name.dropFirst(4))
        guard !["", ".", ".."].contains(LayerUnpacker.text(hidden)) else {
            throw SkalaError(.invalid, "the archive has an invalid whiteout: '\(text)'")
        }
        remove(hidden, in: parent)
        try checkErrno(mknodat(parent, hidden, S_IFCHR, 0), "mknod", text)
    }

    private mutating func link(to target: UnsafePointer<CChar>, as name: Name, in parent: Int32) throws {
        let text = String(cString: target)
        let parts = try parts(target)
        guard let last = parts.last else { throw SkalaError(.invalid, "the archive has a hard link to its root") }
        let flags = UInt64(O_RDONLY | CL_O_DIRECTORY)
        // A copy of the root's descriptor for "", so that there is one to close in each case.
        let path = parts.count == 1 ? [CChar(bitPattern: UInt8(ascii: ".")), 0] : LayerUnpacker.join(parts.dropLast())
        let opened = cl_openat2(root.raw, path, flags, 0, LayerUnpacker.beneath)
        let folder = opened >= 0 ? OwnedDescriptor(opened) : nil
        let source = Array(last) + [0]
        var status = stat()
        guard let folder, fstatat(folder.raw, source, &status, AT_SYMLINK_NOFOLLOW) == 0,
            status.st_mode & S_IFMT != S_IFDIR
        else {
            throw SkalaError(
                .invalid, "the archive links '\(LayerUnpacker.text(name))' to '\(text)', which is no file of it")
        }
        var old = stat()
        let isSame =
            fstatat(parent, name, &old, AT_SYMLINK_NOFOLLOW) == 0 && old.st_ino == status.st_ino
            && old.st_dev == status.st_dev
        if isSame { return }
        remove(name, in: parent)
        // Without AT_SYMLINK_FOLLOW a link to a symbolic link links the link itself.
        try checkErrno(linkat(folder.raw, source, parent, name, 0), "link", text)
    }

    private mutating func makeFolder(_ entry: OpaquePointer, _ name: Name, in parent: Int32, path: Name) throws {
        let text = LayerUnpacker.text(path)
        if mkdirat(parent, name, 0o755) != 0 {
            guard errno == EEXIST else { throw KernelError("mkdir", text, errno: errno) }
            var status = stat()
            try checkErrno(fstatat(parent, name, &status, AT_SYMLINK_NOFOLLOW), "stat", text)
            if status.st_mode & S_IFMT != S_IFDIR {
                guard replacesDirectories else {
                    throw SkalaError(.invalid, "cannot overwrite non-directory '\(text)' with a directory")
                }
                remove(name, in: parent)
                try checkErrno(mkdirat(parent, name, 0o755), "mkdir", text)
            }
        }
        let flags = UInt64(O_RDONLY | CL_O_DIRECTORY)
        let folder = OwnedDescriptor(
            try check(cl_openat2(parent, name, flags, 0, LayerUnpacker.beneath), "openat2", text))
        try setAttributes(entry, of: folder.raw, path: text)
        let time = timespec(tv_sec: archive_entry_mtime(entry), tv_nsec: archive_entry_mtime_nsec(entry))
        folderTimes.append((path, time))
    }

    private func makeFile(_ entry: OpaquePointer, _ name: Name, in parent: Int32, _ reader: ArchiveReader) throws {
        let text = LayerUnpacker.text(name)
        var status = stat()
        let isFolder = fstatat(parent, name, &status, AT_SYMLINK_NOFOLLOW) == 0 && status.st_mode & S_IFMT == S_IFDIR
        guard replacesDirectories || !isFolder else {
            throw SkalaError(.invalid, "cannot overwrite directory '\(text)' with a file")
        }
        remove(name, in: parent)
        let flags = UInt64(O_WRONLY | O_CREAT | O_EXCL | CL_O_NOFOLLOW)
        let file = OwnedDescriptor(
            try check(cl_openat2(parent, name, flags, 0o600, LayerUnpacker.beneath), "openat2", text))
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
                written += try checkErrno(count, "write", text)
            }
        }
        try checkErrno(ftruncate(file.raw, Int(archive_entry_size(entry))), "truncate", text)
        try setAttributes(entry, of: file.raw, path: text)
        var times = [
            timespec(tv_sec: archive_entry_mtime(entry), tv_nsec: archive_entry_mtime_nsec(entry)),
            timespec(tv_sec: archive_entry_mtime(entry), tv_nsec: archive_entry_mtime_nsec(entry)),
        ]
        futimens(file.raw, &times)
    }

    // MARK: attributes

    private func chown(_ entry: OpaquePointer, _ name: Name, in parent: Int32) {
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

    private func setTime(_ path: Name, _ time: timespec) {
        let descriptor = cl_openat2(root.raw, path, UInt64(O_RDONLY | CL_O_DIRECTORY), 0, LayerUnpacker.beneath)
        guard descriptor >= 0 else { return }
        var times = [time, time]
        futimens(descriptor, &times)
        close(descriptor)
    }
}
