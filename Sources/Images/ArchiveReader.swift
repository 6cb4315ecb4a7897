import Archives
import Base
import CArchive
import Glibc
import Kernel

/// Reads tar archives with libarchive, decompressing gzip, zstd and others on the way, and computes the digest of the
/// uncompressed data, which is what names a layer (image specification, "DiffID").
final class ArchiveReader: TarSource {
    /// Feeds one libarchive reader with the decompressed data of another.
    private final class Source {
        let compressed: OpaquePointer
        let hash: SHA256
        var total: Int64 = 0
        let limit: Int64
        /// A file of no bytes holds nothing to decompress.
        var isEmpty = false
        var buffer = UnsafeMutableRawPointer.allocate(byteCount: 256 * 1024, alignment: 16)
        var error: String?

        init(_ compressed: OpaquePointer, limit: Int64) throws(SkalaError) {
            self.compressed = compressed
            self.limit = limit
            hash = try SHA256()
        }

        deinit { buffer.deallocate() }

        func read() -> Int {
            if isEmpty { return 0 }
            let count = archive_read_data(compressed, buffer, 256 * 1024)
            if count < 0 {
                error = ArchiveReader.message(compressed)
                return -1
            }
            total += Int64(count)
            if total > limit {
                error = "it unpacks to more than \(ByteSize.decimal(limit))"
                return -1
            }
            hash.update(UnsafeRawBufferPointer(start: buffer, count: count))
            return count
        }
    }

    let tar: OpaquePointer
    private let source: Source

    /// - Parameters:
    ///   - descriptor: read from where it stands to its end; not closed.
    ///   - limit: uncompressed bytes beyond which the archive is refused.
    init(descriptor: Int32, limit: Int64) throws(SkalaError) {
        guard let compressed = archive_read_new(), let tar = archive_read_new() else {
            throw SkalaError(.system, "libarchive: out of memory")
        }
        self.tar = tar
        source = try Source(compressed, limit: limit)
        archive_read_support_filter_all(compressed)
        archive_read_support_format_raw(compressed)
        archive_read_support_format_empty(compressed)
        var entry: OpaquePointer?
        let opened = archive_read_open_fd(compressed, descriptor, 256 * 1024)
        let found = opened == ARCHIVE_OK ? archive_read_next_header(compressed, &entry) : opened
        guard found >= ARCHIVE_WARN else {
            throw SkalaError(.invalid, "cannot read the archive: \(ArchiveReader.message(compressed))")
        }
        source.isEmpty = found == ARCHIVE_EOF
        archive_read_support_format_tar(tar)
        archive_read_support_format_empty(tar)
        let status = archive_read_open(
            tar, Unmanaged.passUnretained(source).toOpaque(), nil,
            { _, context, block in
                guard let context, let block else { return -1 }
                let source = Unmanaged<Source>.fromOpaque(context).takeUnretainedValue()
                block.pointee = UnsafeRawPointer(source.buffer)
                return la_ssize_t(source.read())
            }, nil)
        guard status == ARCHIVE_OK else { throw failure("cannot read the archive") }
    }

    deinit {
        archive_read_free(tar)
        archive_read_free(source.compressed)
    }

    /// The next entry, or nil at the end.
    ///
    /// - Throws: `.invalid` when the archive is damaged or too large.
    func next() throws(SkalaError) -> OpaquePointer? {
        var entry: OpaquePointer?
        let status = archive_read_next_header(tar, &entry)
        if status == ARCHIVE_EOF { return nil }
        guard status >= ARCHIVE_WARN, let entry else { throw failure("damaged archive") }
        return entry
    }

    func nextEntry() throws -> TarEntry? {
        guard let entry = try next() else { return nil }
        guard let path = archive_entry_pathname(entry) else {
            throw SkalaError(.invalid, "an entry of the archive has no name")
        }
        var result = TarEntry(.file, ArchiveReader.bytes(path))
        if let target = archive_entry_hardlink(entry) {
            result.kind = .hardLink
            result.target = ArchiveReader.bytes(target)
            return result
        }
        guard let kind = ArchiveReader.kinds[archive_entry_filetype(entry)] else {
            throw SkalaError(.invalid, "the archive has an entry of an unknown kind: '\(String(cString: path))'")
        }
        result.kind = kind
        if kind == .symbolicLink, let target = archive_entry_symlink(entry) {
            result.target = ArchiveReader.bytes(target)
        }
        result.mode = UInt32(archive_entry_mode(entry)) & 0o7777
        result.user = UInt32(truncatingIfNeeded: archive_entry_uid(entry))
        result.group = UInt32(truncatingIfNeeded: archive_entry_gid(entry))
        result.modified = timespec(tv_sec: archive_entry_mtime(entry), tv_nsec: archive_entry_mtime_nsec(entry))
        if kind == .file { result.size = max(0, archive_entry_size(entry)) }
        result.device = UInt64(archive_entry_rdev(entry))
        archive_entry_xattr_reset(entry)
        var name: UnsafePointer<CChar>?
        var value: UnsafeRawPointer?
        var size = 0
        while archive_entry_xattr_next(entry, &name, &value, &size) == ARCHIVE_OK {
            guard let name else { continue }
            let bytes = Array(UnsafeRawBufferPointer(start: value, count: value == nil ? 0 : size))
            result.attributes.append((ArchiveReader.bytes(name), bytes))
        }
        return result
    }

    private static let kinds: [UInt32: TarEntry.Kind] = [
        S_IFREG: .file, S_IFDIR: .folder, S_IFLNK: .symbolicLink, S_IFCHR: .characterDevice, S_IFBLK: .blockDevice,
        S_IFIFO: .pipe,
    ]

    private static func bytes(_ text: UnsafePointer<CChar>) -> [UInt8] {
        Array(UnsafeRawBufferPointer(start: text, count: strlen(text)))
    }

    func eachPiece(_ body: (UnsafeRawBufferPointer, Int64) throws -> Void) throws {
        var block: UnsafeRawPointer?
        var size = 0
        var offset: la_int64_t = 0
        while true {
            let status = archive_read_data_block(tar, &block, &size, &offset)
            if status == ARCHIVE_EOF { return }
            guard status >= ARCHIVE_WARN else { throw failure("damaged archive") }
            try body(UnsafeRawBufferPointer(start: block, count: size), offset)
        }
    }

    /// Reads what follows the last entry, so that the digest covers all of the data.
    ///
    /// - Returns: the digest and the length of the uncompressed data.
    func finish() throws(SkalaError) -> (digest: String, bytes: Int64) {
        while true {
            let count = source.read()
            if count < 0 { throw failure("damaged archive") }
            if count == 0 { return (source.hash.digest(), source.total) }
        }
    }

    func failure(_ what: String) -> SkalaError {
        SkalaError(.invalid, "\(what): \(source.error ?? ArchiveReader.message(tar))")
    }

    private static func message(_ archive: OpaquePointer) -> String {
        archive_error_string(archive).map { String(cString: $0) } ?? "unexpected end"
    }
}
