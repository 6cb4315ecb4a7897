import Base
import Glibc
public import Kernel

/// Writes a disk that comes in pieces to a file, with holes where it has zeros. Blocking.
public struct DiskWriter: Sendable {
    private static let block = 1 << 20

    private let target: OwnedDescriptor
    private var offset: Int64 = 0

    public init(to target: OwnedDescriptor) { self.target = target }

    /// - Throws: `.invalid` when the first bytes are those of no disk, or it is larger than any.
    public mutating func append(_ bytes: [UInt8]) throws {
        // Told early: the size is looked at again when the whole is there.
        if offset == 0 { _ = try DiskFormat(header: Array(bytes.prefix(512)), fileSize: DiskFormat.maximumSize) }
        guard offset + Int64(bytes.count) <= DiskFormat.maximumSize else {
            throw SkalaError(.invalid, "the disk is larger than \(ByteSize.decimal(DiskFormat.maximumSize))")
        }
        if bytes.contains(where: { $0 != 0 }) {
            guard lseek(target.raw, Int(offset), SEEK_SET) >= 0 else { throw KernelError("seek", "disk", errno: errno) }
            try FileContents.append(bytes, to: target.raw, "disk")
        }
        offset += Int64(bytes.count)
    }

    /// Completes the file, and looks at what it is.
    public func finish() throws -> DiskFormat {
        try checkErrno(ftruncate(target.raw, Int(offset)), "truncate", "disk")
        return try DiskFormat(of: target)
    }
}
