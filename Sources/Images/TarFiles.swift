import Base
import CArchive
import Glibc

/// The regular files of a tar archive of any compression, read one after the other. Blocking.
public enum TarFiles {
    /// Calls `body` with each file's path, without a leading `./`, and a way to read it.
    ///
    /// - Parameters:
    ///   - descriptor: read from where it stands to its end.
    ///   - limit: uncompressed bytes beyond which the archive is refused.
    /// - Throws: `.invalid` when the archive is damaged or too large, and what `body` throws.
    public static func each(
        descriptor: Int32, limit: Int64, _ body: (String, () throws -> [UInt8]) throws -> Void
    ) throws {
        let reader = try ArchiveReader(descriptor: descriptor, limit: limit)
        while let entry = try reader.next() {
            guard archive_entry_filetype(entry) == 0o100000, let text = archive_entry_pathname(entry) else { continue }
            let path = String(cString: text)
            try body(path.hasPrefix("./") ? String(path.dropFirst(2)) : path) {
                try read(reader, size: Int(archive_entry_size(entry)))
            }
        }
    }

    private static func read(_ reader: ArchiveReader, size: Int) throws(SkalaError) -> [UInt8] {
        var failed = false
        // The archive's limit bounds the size that an entry may claim.
        let content = [UInt8](unsafeUninitializedCapacity: max(0, size)) { buffer, count in
            while count < size {
                let read = archive_read_data(reader.tar, buffer.baseAddress.map { $0 + count }, size - count)
                if read <= 0 {
                    failed = true
                    break
                }
                count += read
            }
        }
        guard !failed else { throw reader.failure("damaged archive") }
        return content
    }
}
