public import Base
import CLinux
import Glibc
import Kernel

/// Writes tar archives (pax) to a descriptor. Blocking.
public final class ArchiveWriter {
    /// Folders below each other that are written: more only a program makes, to see what breaks.
    private static let depthLimit = 1000
    /// Headers and small files wait until there is this much.
    private static let bufferSize = 64 << 10

    private let descriptor: Int32
    private var buffer: [UInt8] = []
    private var chunk = [UInt8](repeating: 0, count: 256 << 10)
    /// Files with several names: the first one is written, the others are links to it.
    private var written: [File: [UInt8]] = [:]

    private struct File: Hashable {
        let device: UInt64
        let number: UInt64
    }

    /// - Parameter descriptor: not closed.
    public init(descriptor: Int32) {
        self.descriptor = descriptor
        buffer.reserveCapacity(ArchiveWriter.bufferSize + 4096)
    }

    /// Writes the archive's end.
    public func finish() throws(SkalaError) {
        buffer += [UInt8](repeating: 0, count: 2 * TarHeader.blockSize)
        try flush()
    }

    // MARK: entries

    /// Adds a file made of bytes.
    public func add(_ name: String, _ bytes: [UInt8]) throws(SkalaError) {
        var entry = TarEntry(.file, Array(name.utf8))
        entry.mode = 0o644
        try add(entry, bytes)
    }

    /// Adds an empty file that only means something: a whiteout.
    private func add(marker path: [UInt8]) throws(SkalaError) { try add(TarEntry(.file, path), []) }

    private func add(_ entry: TarEntry, _ bytes: [UInt8]) throws(SkalaError) {
        var entry = entry
        entry.size = Int64(bytes.count)
        buffer += TarHeader.encode(entry)
        buffer += bytes
        buffer += TarHeader.padding(entry.size)
        try flushIfFull()
    }

    /// Copies every entry that is left in another archive.
    public func add(contentsOf source: some TarSource) throws {
        while let entry = try source.nextEntry() {
            buffer += TarHeader.encode(entry)
            var end: Int64 = 0
            try source.eachPiece { piece, offset in
                guard offset >= end, offset + Int64(piece.count) <= entry.size else {
                    throw SkalaError(.invalid, "damaged archive: the data of '\(entry.text)' is out of its place")
                }
                try writeZeros(offset - end)
                try write(piece)
                end = offset + Int64(piece.count)
            }
            if entry.kind == .file { try writeZeros(entry.size - end) }
            buffer += TarHeader.padding(entry.size)
            try flushIfFull()
        }
    }

    /// Adds what `name` in the folder `parent` is, with everything below it, under the path `path`.
    ///
    /// - Parameters:
    ///   - name: bytes and a zero, as the kernel has them; `path` is without.
    ///   - overlay: whiteouts and opaque folders of overlayfs are written as an image's layers have them.
    public func add(
        _ name: [CChar], in parent: Int32, as path: [UInt8], overlay: Bool = false, depth: Int = 0
    ) throws {
        let text = String(decoding: path, as: UTF8.self)
        guard depth <= ArchiveWriter.depthLimit else {
            throw SkalaError(
                .invalid, "folders are nested deeper than \(ArchiveWriter.depthLimit): \(text.prefix(80))…")
        }
        var status = stat()
        try checkErrno(fstatat(parent, name, &status, AT_SYMLINK_NOFOLLOW), "stat", text)
        if overlay, OverlayFile(status).isWhiteout {
            return try add(
                marker: Array(path.dropLast(name.count - 1)) + Array(".wh.".utf8) + ArchiveWriter.bytes(name))
        }
        guard var entry = ArchiveWriter.entry(status, path) else { return }
        if entry.kind == .symbolicLink {
            var target = [CChar](repeating: 0, count: 4097)
            let count = try checkErrno(readlinkat(parent, name, &target, 4096), "readlink", text)
            entry.target = target.prefix(count).map(UInt8.init(bitPattern:))
        }
        guard entry.kind == .file || entry.kind == .folder else { return try add(entry, []) }
        // O_NOFOLLOW and O_NONBLOCK: it may have been replaced since by a link or a pipe.
        let opened = cl_openat(parent, name, O_RDONLY | CL_O_NOFOLLOW | O_NONBLOCK, 0)
        let file = OwnedDescriptor(try check(opened, "open", text))
        if entry.kind == .file, status.st_nlink > 1 {
            let key = File(device: UInt64(status.st_dev), number: UInt64(status.st_ino))
            if let first = written[key] {
                entry.kind = .hardLink
                entry.target = first
                return try add(entry, [])
            }
            written[key] = path
        }
        entry.attributes = ArchiveWriter.attributes(file.raw)
        if entry.kind == .file {
            entry.size = Int64(status.st_size)
            buffer += TarHeader.encode(entry)
            return try addData(file.raw, size: entry.size, text)
        }
        entry.path.append(UInt8(ascii: "/"))
        try add(entry, [])
        if overlay, OverlayFile.isOpaque(file.raw) { try add(marker: entry.path + Array(".wh..wh..opq".utf8)) }
        for child in try FileContents.names(in: file.raw, text) {
            let below = entry.path + ArchiveWriter.bytes(child)
            try add(child, in: file.raw, as: below, overlay: overlay, depth: depth + 1)
        }
    }

    /// Adds what is in a folder, but for some names.
    public func addContents(
        of folder: Int32, _ path: String, except names: Set<String> = [], overlay: Bool = false
    ) throws {
        for name in try FileContents.names(in: folder, path) {
            let bytes = ArchiveWriter.bytes(name)
            if !names.contains(String(decoding: bytes, as: UTF8.self)) {
                try add(name, in: folder, as: bytes, overlay: overlay)
            }
        }
    }

    private static func bytes(_ name: [CChar]) -> [UInt8] { name.dropLast().map(UInt8.init(bitPattern:)) }

    /// nil for what archives do not hold: sockets.
    private static func entry(_ status: stat, _ path: [UInt8]) -> TarEntry? {
        let kinds: [UInt32: TarEntry.Kind] = [
            S_IFREG: .file, S_IFDIR: .folder, S_IFLNK: .symbolicLink, S_IFCHR: .characterDevice,
            S_IFBLK: .blockDevice, S_IFIFO: .pipe,
        ]
        guard let kind = kinds[status.st_mode & S_IFMT] else { return nil }
        var entry = TarEntry(kind, path)
        entry.mode = status.st_mode & 0o7777
        entry.user = status.st_uid
        entry.group = status.st_gid
        entry.modified = status.st_mtim
        if kind == .characterDevice || kind == .blockDevice { entry.device = UInt64(status.st_rdev) }
        return entry
    }

    /// Capabilities and user attributes; overlayfs' own are none of the files'.
    private static func attributes(_ descriptor: Int32) -> [(name: [UInt8], value: [UInt8])] {
        var names = [CChar](repeating: 0, count: 4096)
        let length = flistxattr(descriptor, &names, names.count)
        guard length > 0 else { return [] }
        var attributes: [(name: [UInt8], value: [UInt8])] = []
        for name in names[0..<length].split(separator: 0).map({ $0.map(UInt8.init(bitPattern:)) }) {
            guard name.elementsEqual("security.capability".utf8) || name.starts(with: "user.".utf8) else { continue }
            var value = [UInt8](repeating: 0, count: 64 * 1024)
            let size = fgetxattr(descriptor, (name + [0]).map(CChar.init(bitPattern:)), &value, value.count)
            if size >= 0 { attributes.append((name, Array(value.prefix(size)))) }
        }
        return attributes
    }

    /// A file that grows or shrinks meanwhile is cut, or filled with zeros, to the size in its header.
    private func addData(_ file: Int32, size: Int64, _ path: String) throws {
        var left = size
        while left > 0 {
            let count = read(file, &chunk, Int(min(left, Int64(chunk.count))))
            if count < 0, errno == EINTR { continue }
            if try checkErrno(count, "read", path) == 0 { break }
            try chunk.withUnsafeBytes { try write(UnsafeRawBufferPointer(rebasing: $0[..<count])) }
            left -= Int64(count)
        }
        try writeZeros(left)
        buffer += TarHeader.padding(size)
        try flushIfFull()
    }

    // MARK: bytes

    private func write(_ bytes: UnsafeRawBufferPointer) throws(SkalaError) {
        guard bytes.count > ArchiveWriter.bufferSize / 2 else {
            buffer.append(contentsOf: bytes)
            return try flushIfFull()
        }
        try flush()
        try writeAll(bytes)
    }

    private func writeZeros(_ count: Int64) throws(SkalaError) {
        var left = count
        while left > 0 {
            buffer += [UInt8](repeating: 0, count: Int(min(left, Int64(ArchiveWriter.bufferSize))))
            left -= min(left, Int64(ArchiveWriter.bufferSize))
            try flushIfFull()
        }
    }

    private func flushIfFull() throws(SkalaError) { if buffer.count >= ArchiveWriter.bufferSize { try flush() } }

    private func flush() throws(SkalaError) {
        let bytes = buffer
        buffer.removeAll(keepingCapacity: true)
        var failure: SkalaError?
        bytes.withUnsafeBytes { bytes in
            do throws(SkalaError) { try writeAll(bytes) } catch { failure = error }
        }
        if let failure { throw failure }
    }

    private func writeAll(_ bytes: UnsafeRawBufferPointer) throws(SkalaError) {
        var done = 0
        while done < bytes.count {
            let count = Glibc.write(descriptor, bytes.baseAddress?.advanced(by: done), bytes.count - done)
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else {
                let error = KernelError("write", "", errno: errno)
                // The reader has gone.
                let code: SkalaError.Code = error.errno == EPIPE ? .cancelled : error.asSkalaError.code
                throw SkalaError(code, "cannot write the archive: \(error.reason)")
            }
            done += count
        }
    }
}
