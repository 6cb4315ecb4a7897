import Base
import CArchive
import CLinux
import Glibc
import Kernel
import CCurl
import CCrypto

/// Writes tar archives (pax) with libarchive to a descriptor. Blocking.
final class ArchiveWriter {
    private let archive: OpaquePointer
    /// Files with several names: the first one is written, the others are links to it.
    private var written: [UInt64: [CChar]] = [:]

    /// - Parameter descriptor: not closed.
    init(descriptor: Int32) throws(SkalaError) {
        guard let archive = archive_write_new() else { throw SkalaError(.system, "libarchive: out of memory") }
        self.archive = archive
        archive_write_set_format_pax_restricted(archive)
        archive_write_set_bytes_in_last_block(archive, 1)
        guard archive_write_open_fd(archive, descriptor) == ARCHIVE_OK else { throw failure("cannot write") }
    }

    deinit { archive_write_free(archive) }

    func finish() throws(SkalaError) {
        guard archive_write_close(archive) == ARCHIVE_OK else { throw failure("cannot write the archive") }
    }

    private func failure(_ what: String) -> SkalaError {
        let code = archive_errno(archive) == EPIPE ? SkalaError.Code.cancelled : .system
        let text = archive_error_string(archive).map { String(cString: $0) } ?? "unknown error"
        let number = archive_errno(archive)
        // libarchive says "Write error"; the kernel says why.
        let reason = number > 0 ? String(cString: strerror(number)).lowercased() : text
        return SkalaError(number == ENOSPC ? .exhausted : code, "\(what): \(reason)")
    }

    /// Adds a file made of bytes.
    func add(_ name: String, _ bytes: [UInt8]) throws(SkalaError) {
        try add(Array(name.utf8CString), bytes, mode: 0o644)
    }

    /// Adds an empty file that only means something: a whiteout.
    private func add(_ marker: [CChar]) throws(SkalaError) { try add(marker, [], mode: 0) }

    private func add(_ name: [CChar], _ bytes: [UInt8], mode: UInt32) throws(SkalaError) {
        guard let entry = archive_entry_new() else { throw SkalaError(.system, "libarchive: out of memory") }
        defer { archive_entry_free(entry) }
        archive_entry_set_pathname(entry, name)
        archive_entry_set_filetype(entry, Glibc.S_IFREG)
        archive_entry_set_perm(entry, mode)
        archive_entry_set_size(entry, la_int64_t(bytes.count))
        guard archive_write_header(archive, entry) >= ARCHIVE_WARN,
            bytes.withUnsafeBytes({ archive_write_data(archive, $0.baseAddress, $0.count) }) == bytes.count
        else { throw failure("cannot write \(String(decoding: name.map(UInt8.init(bitPattern:)), as: UTF8.self))") }
    }

    /// Folders below each other that are written: more only a program makes, to see what breaks.
    private static let depthLimit = 1000

    /// Adds what `name` in the folder `parent` is, with everything below it, under the path `path`.
    ///
    /// - Parameters:
    ///   - name: bytes and a zero, as the kernel has them; so is `path`.
    ///   - overlay: whiteouts and opaque folders of overlayfs are written as an image's layers have them.
    func add(
        _ name: [CChar], in parent: Int32, as path: [CChar], overlay: Bool = false, depth: Int = 0
    ) throws {
        let text = String(decoding: path.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
        guard depth <= ArchiveWriter.depthLimit else {
            throw SkalaError(
                .invalid, "folders are nested deeper than \(ArchiveWriter.depthLimit): \(text.prefix(80))…")
        }
        var status = stat()
        try checkErrno(fstatat(parent, name, &status, AT_SYMLINK_NOFOLLOW), "stat", text)
        let kind = status.st_mode & S_IFMT
        if kind == S_IFSOCK { return }
        if overlay, OverlayFile(status).isWhiteout {
            return try add(Array(path.dropLast(name.count)) + ".wh.".utf8CString.dropLast() + name)
        }
        guard let entry = archive_entry_new() else { throw SkalaError(.system, "libarchive: out of memory") }
        defer { archive_entry_free(entry) }
        archive_entry_copy_stat(entry, &status)
        let slash = Array("/".utf8CString)
        archive_entry_set_pathname(entry, kind == S_IFDIR ? Array(path.dropLast()) + slash : path)
        if kind == S_IFLNK {
            var target = [CChar](repeating: 0, count: 4097)
            try checkErrno(readlinkat(parent, name, &target, 4096), "readlink", text)
            archive_entry_set_symlink(entry, target)
        }
        guard kind == S_IFREG || kind == S_IFDIR else { return try writeHeader(entry, text) }
        // O_NOFOLLOW and O_NONBLOCK: it may have been replaced since by a link or a pipe.
        let opened = cl_openat(parent, name, O_RDONLY | CL_O_NOFOLLOW | O_NONBLOCK, 0)
        let file = OwnedDescriptor(try check(opened, "open", text))
        try addAttributes(file.raw, to: entry)
        if kind == S_IFREG {
            if status.st_nlink > 1, let first = written[UInt64(status.st_ino)] {
                archive_entry_set_hardlink(entry, first)
                archive_entry_set_size(entry, 0)
                return try writeHeader(entry, text)
            }
            written[UInt64(status.st_ino)] = path
            try writeHeader(entry, text)
            return try writeData(file.raw, size: Int64(status.st_size), text)
        }
        try writeHeader(entry, text)
        if overlay, OverlayFile.isOpaque(file.raw) { try add(Array(path.dropLast()) + "/.wh..wh..opq".utf8CString) }
        for child in try FileContents.names(in: file.raw, text) {
            let below = Array(path.dropLast()) + slash.dropLast() + child
            try add(child, in: file.raw, as: below, overlay: overlay, depth: depth + 1)
        }
    }

    /// Adds what is in a folder, but for some names.
    func addContents(of folder: Int32, _ path: String, except names: Set<String> = [], overlay: Bool = false) throws {
        for name in try FileContents.names(in: folder, path) {
            let text = String(decoding: name.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
            if !names.contains(text) { try add(name, in: folder, as: name, overlay: overlay) }
        }
    }

    private func writeHeader(_ entry: OpaquePointer, _ path: String) throws(SkalaError) {
        guard archive_write_header(archive, entry) >= ARCHIVE_WARN else { throw failure("cannot write \(path)") }
    }

    /// A file that grows or shrinks meanwhile is cut, or filled with zeros, to the size in its header.
    private func writeData(_ descriptor: Int32, size: Int64, _ path: String) throws {
        var left = size
        var buffer = [UInt8](repeating: 0, count: 256 * 1024)
        while left > 0 {
            let wanted = Int(min(left, Int64(buffer.count)))
            let count = try checkErrno(read(descriptor, &buffer, wanted), "read", path)
            if count == 0 { break }
            guard archive_write_data(archive, buffer, count) == count else { throw failure("cannot write \(path)") }
            left -= Int64(count)
        }
    }

    /// Capabilities and user attributes; overlayfs' own are none of the files'.
    private func addAttributes(_ descriptor: Int32, to entry: OpaquePointer) throws {
        var names = [CChar](repeating: 0, count: 4096)
        let length = flistxattr(descriptor, &names, names.count)
        guard length > 0 else { return }
        for name in names[0..<length].split(separator: 0).map({
            String(decoding: $0.map(UInt8.init(bitPattern:)), as: UTF8.self)
        }) {
            guard name == "security.capability" || name.hasPrefix("user.") else { continue }
            var value = [UInt8](repeating: 0, count: 64 * 1024)
            let size = fgetxattr(descriptor, name, &value, value.count)
            if size >= 0 { archive_entry_xattr_add_entry(entry, name, value, size) }
        }
    }
}
