import Base
import CLinux
import Glibc
public import Kernel

/// Unpacks one layer into an empty folder in the form overlayfs takes.
///
/// A layer comes from strangers: every path is resolved below the folder without following links (openat2
/// RESOLVE_BENEATH and RESOLVE_NO_SYMLINKS), entries and bytes are limited. Names are bytes, not text: what is no UTF-8
/// stays as it is, and a slash is one whatever character follows it.
public struct LayerUnpacker {
    /// A name or path as the kernel takes it: its bytes and a zero.
    private typealias Name = [CChar]

    public static let entryLimit = 2_000_000
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

    public init(
        folder: OwnedDescriptor, keepsOwners: Bool = true, hasWhiteouts: Bool = true, replacesDirectories: Bool = true
    ) {
        self.replacesDirectories = replacesDirectories
        root = folder
        self.keepsOwners = keepsOwners
        self.hasWhiteouts = hasWhiteouts
    }

    /// Unpacks everything that is left in the archive.
    public mutating func unpack(_ source: some TarSource) throws {
        var count = 0
        while let entry = try source.nextEntry() {
            count += 1
            guard count <= LayerUnpacker.entryLimit else {
                throw SkalaError(.invalid, "the archive has more than \(LayerUnpacker.entryLimit) entries")
            }
            do {
                try unpack(entry, source)
            } catch let error as KernelError {
                throw error.asSkalaError.within("cannot unpack '\(entry.text)'")
            }
        }
        for folder in folderTimes.reversed() { setTime(folder.path, folder.time) }
    }

    /// The path's parts; none for the root itself.
    private func parts(_ path: some Collection<UInt8>) throws(SkalaError) -> [ArraySlice<CChar>] {
        let slash = CChar(bitPattern: UInt8(ascii: "/"))
        let dot = CChar(bitPattern: UInt8(ascii: "."))
        let parts = path.map(CChar.init(bitPattern:)).split(separator: slash).filter { !$0.elementsEqual([dot]) }
        guard !parts.contains(where: { $0.elementsEqual([dot, dot]) }) else {
            let text = String(decoding: path, as: UTF8.self)
            throw SkalaError(.invalid, "the archive has a path that leads outside: '\(text)'")
        }
        return parts
    }

    private static func join(_ parts: some Collection<ArraySlice<CChar>>) -> Name {
        Array(parts.joined(separator: [CChar(bitPattern: UInt8(ascii: "/"))])) + [0]
    }

    private static func text(_ name: Name) -> String {
        String(decoding: name.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
    }

    private mutating func unpack(_ entry: TarEntry, _ source: some TarSource) throws {
        let parts = try parts(entry.path)
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
        let name = LayerUnpacker.text(base)
        switch entry.kind {
        case .hardLink: try link(to: entry.target, as: base, in: parent)
        case .folder: try makeFolder(entry, base, in: parent, path: LayerUnpacker.join(parts))
        case .file: try makeFile(entry, base, in: parent, source)
        case .symbolicLink:
            remove(base, in: parent)
            guard !entry.target.isEmpty else {
                throw SkalaError(.invalid, "the archive has a symbolic link without a target: '\(name)'")
            }
            let target = entry.target.map(CChar.init(bitPattern:)) + [0]
            try checkErrno(symlinkat(target, parent, base), "symlink", name)
            if keepsOwners { chown(entry, base, in: parent) }
            setTime(entry, base, in: parent)
        case .characterDevice, .blockDevice, .pipe:
            remove(base, in: parent)
            let types: [TarEntry.Kind: UInt32] = [.characterDevice: S_IFCHR, .blockDevice: S_IFBLK]
            let type = types[entry.kind] ?? S_IFIFO
            try checkErrno(mknodat(parent, base, type | entry.mode, dev_t(entry.device)), "mknod", name)
            if keepsOwners { chown(entry, base, in: parent) }
            fchmodat(parent, base, entry.mode, 0)
            setTime(entry, base, in: parent)
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
        for part in try parts(path.dropLast().map(UInt8.init(bitPattern:))).map({ Array($0) + [0] }) {
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

    private mutating func link(to target: [UInt8], as name: Name, in parent: Int32) throws {
        let text = String(decoding: target, as: UTF8.self)
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

    private mutating func makeFolder(_ entry: TarEntry, _ name: Name, in parent: Int32, path: Name) throws {
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
        folderTimes.append((path, entry.modified))
    }

    private func makeFile(_ entry: TarEntry, _ name: Name, in parent: Int32, _ source: some TarSource) throws {
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
        try source.eachPiece { piece, offset in
            var written = 0
            while written < piece.count {
                // What the archive leaves out stays a hole.
                let count = pwrite(
                    file.raw, piece.baseAddress?.advanced(by: written), piece.count - written, Int(offset) + written)
                written += try checkErrno(count, "write", text)
            }
        }
        try checkErrno(ftruncate(file.raw, Int(entry.size)), "truncate", text)
        try setAttributes(entry, of: file.raw, path: text)
        var times = [entry.modified, entry.modified]
        futimens(file.raw, &times)
    }

    // MARK: attributes

    private func chown(_ entry: TarEntry, _ name: Name, in parent: Int32) {
        fchownat(parent, name, entry.user, entry.group, AT_SYMLINK_NOFOLLOW)
    }

    private func setAttributes(_ entry: TarEntry, of descriptor: Int32, path: String) throws {
        if keepsOwners {
            try checkErrno(fchown(descriptor, entry.user, entry.group), "chown", path)
        }
        // After chown, which clears the set-user-id bits.
        try checkErrno(fchmod(descriptor, entry.mode), "chmod", path)
        for (name, value) in entry.attributes {
            // An archive must not speak to overlayfs itself.
            if name.starts(with: "trusted.overlay.".utf8) { continue }
            let status = fsetxattr(descriptor, name.map(CChar.init(bitPattern:)) + [0], value, value.count, 0)
            // A file system without this kind of attribute leaves it out, as tar does.
            if status != 0, errno != EOPNOTSUPP { throw KernelError("setxattr", path, errno: errno) }
        }
    }

    /// Of what cannot be opened to set it.
    private func setTime(_ entry: TarEntry, _ name: Name, in parent: Int32) {
        var times = [entry.modified, entry.modified]
        utimensat(parent, name, &times, AT_SYMLINK_NOFOLLOW)
    }

    private func setTime(_ path: Name, _ time: timespec) {
        let descriptor = cl_openat2(root.raw, path, UInt64(O_RDONLY | CL_O_DIRECTORY), 0, LayerUnpacker.beneath)
        guard descriptor >= 0 else { return }
        var times = [time, time]
        futimens(descriptor, &times)
        close(descriptor)
    }
}
