public import Base
import CArchive

/// A disk with an ISO 9660 file system of a few small files: what cloud-init calls a NoCloud seed. Pure.
public enum SeedImage {
    /// The label cloud-init looks for.
    private static let label = "cidata"

    /// - Throws: `.system` with libarchive's text.
    public static func make(_ files: [(name: String, content: String)]) throws(SkalaError) -> [UInt8] {
        guard let archive = archive_write_new(), let entry = archive_entry_new() else {
            throw SkalaError(.system, "libarchive: out of memory")
        }
        defer {
            archive_entry_free(entry)
            archive_write_free(archive)
        }
        // 352 KiB of it are empty; a file's share is what it holds and 2 KiB more.
        let bytes = files.reduce(1 << 20) { $0 + $1.content.utf8.count + 4096 }
        var image = [UInt8](repeating: 0, count: bytes)
        var used = 0
        let status = image.withUnsafeMutableBytes { buffer -> Int32 in
            var status = archive_write_set_format_iso9660(archive)
            for (key, value) in [("volume-id", label), ("rockridge", "useful"), ("joliet", "1")]
            where status == ARCHIVE_OK {
                status = archive_write_set_format_option(archive, "iso9660", key, value)
            }
            // No padding to tape blocks.
            if status == ARCHIVE_OK { status = archive_write_set_bytes_per_block(archive, 2048) }
            if status == ARCHIVE_OK {
                status = archive_write_open_memory(archive, buffer.baseAddress, buffer.count, &used)
            }
            for file in files where status == ARCHIVE_OK {
                let content = Array(file.content.utf8)
                archive_entry_clear(entry)
                archive_entry_set_pathname(entry, file.name)
                archive_entry_set_size(entry, Int64(content.count))
                archive_entry_set_filetype(entry, 0o100000)
                archive_entry_set_perm(entry, 0o444)
                status = archive_write_header(archive, entry)
                if status == ARCHIVE_OK, archive_write_data(archive, content, content.count) != content.count {
                    status = ARCHIVE_FATAL
                }
            }
            return status == ARCHIVE_OK ? archive_write_close(archive) : status
        }
        guard status == ARCHIVE_OK else {
            throw SkalaError(.system, "cannot write a seed disk: " + String(cString: archive_error_string(archive)))
        }
        return Array(image[..<used])
    }
}
