public import Base
import CArchive
import Glibc

/// Data compressed by any of the formats libarchive knows (gzip, xz, zstd, lz4, …), in memory.
public enum Decompression {
    /// All of it uncompressed.
    ///
    /// - Throws: `.invalid` when it is damaged or longer than `limit` bytes.
    public static func all(_ bytes: [UInt8], limit: Int) throws(SkalaError) -> [UInt8] {
        guard let archive = archive_read_new() else { throw SkalaError(.system, "libarchive: out of memory") }
        defer { archive_read_free(archive) }
        archive_read_support_filter_all(archive)
        archive_read_support_format_raw(archive)
        var content: [UInt8] = []
        var failure: SkalaError?
        bytes.withUnsafeBytes { data in
            var entry: OpaquePointer?
            guard archive_read_open_memory(archive, data.baseAddress, data.count) == ARCHIVE_OK,
                archive_read_next_header(archive, &entry) >= ARCHIVE_WARN
            else {
                failure = damaged(archive)
                return
            }
            var chunk = [UInt8](repeating: 0, count: 1 << 20)
            while failure == nil {
                let count = archive_read_data(archive, &chunk, chunk.count)
                if count == 0 { return }
                if count < 0 {
                    failure = damaged(archive)
                } else if content.count + count > limit {
                    failure = SkalaError(.invalid, "it unpacks to more than \(ByteSize.decimal(Int64(limit)))")
                } else {
                    content.append(contentsOf: chunk[..<count])
                }
            }
        }
        if let failure { throw failure }
        return content
    }

    private static func damaged(_ archive: OpaquePointer) -> SkalaError {
        let reason = archive_error_string(archive).map { String(cString: $0) } ?? "unexpected end"
        return SkalaError(.invalid, "cannot decompress: \(reason)")
    }
}
