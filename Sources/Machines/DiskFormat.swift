public import Base
import Glibc
public import Kernel

/// What a disk image of a stranger is, found by its own header: nothing of it is followed or executed.
public enum DiskFormat: Sendable, Hashable {
    /// QEMU's format, which grows as it is written.
    case qcow2(size: Int64)
    /// The disk's bytes as they are.
    case raw(size: Int64)

    /// The disk's size as a guest sees it, in bytes.
    public var size: Int64 {
        switch self {
        case .qcow2(let size), .raw(let size): size
        }
    }

    /// QEMU's name of the driver.
    public var driver: String {
        switch self {
        case .qcow2: "qcow2"
        case .raw: "raw"
        }
    }

    /// The largest disk, in bytes.
    public static let maximumSize: Int64 = 64 << 40

    /// Looks at a file.
    ///
    /// - Throws: `.invalid` with the reason when it is no disk, is damaged, or would make QEMU open other files.
    public init(of file: OwnedDescriptor) throws {
        var status = stat()
        try checkErrno(fstat(file.raw, &status), "stat", "disk")
        guard status.st_mode & S_IFMT == S_IFREG else { throw SkalaError(.invalid, "the disk is not a file") }
        var header = [UInt8](repeating: 0, count: 512)
        let count = header.withUnsafeMutableBytes { pread(file.raw, $0.baseAddress, $0.count, 0) }
        guard count >= 0 else { throw KernelError("read", "disk", errno: errno) }
        try self.init(header: Array(header[..<count]), fileSize: Int64(status.st_size))
    }

    private static let others: [(magic: [UInt8], name: String)] = [
        (Array("KDMV".utf8), "a VMDK disk"), (Array("vhdxfile".utf8), "a VHDX disk"),
        (Array("conectix".utf8), "a VHD disk"), (Array("<<< ".utf8), "a VDI disk"),
        ([0x1F, 0x8B], "compressed (gzip)"),
        ([0xFD, 0x37, 0x7A, 0x58, 0x5A], "compressed (xz)"), ([0x28, 0xB5, 0x2F, 0xFD], "compressed (zstd)"),
        (Array("PK\u{3}\u{4}".utf8), "a zip archive"), (Array("BZh".utf8), "compressed (bzip2)"),
    ]

    /// Of the first bytes of a file. Pure.
    public init(header: [UInt8], fileSize: Int64) throws(SkalaError) {
        if header.starts(with: QCOW2.magic) {
            self = .qcow2(size: try QCOW2.check(header, fileSize: fileSize))
            return
        }
        if let other = DiskFormat.others.first(where: { header.starts(with: $0.magic) }) {
            throw SkalaError(
                .invalid, "the file is \(other.name): a machine's disk is qcow2 or raw (see qemu-img convert)")
        }
        guard fileSize >= 512, fileSize % 512 == 0, fileSize <= DiskFormat.maximumSize else {
            throw SkalaError(
                .invalid,
                "the file is neither qcow2 nor raw: a raw disk has whole sectors of 512 bytes, it has \(fileSize)")
        }
        self = .raw(size: fileSize)
    }
}
