import Base
import Glibc
import Kernel

/// The format qcow2, versions 2 and 3 (QEMU, docs/interop/qcow2.txt): its header is checked, and empty images are written.
public enum QCOW2 {
    static let magic: [UInt8] = [0x51, 0x46, 0x49, 0xFB]
    private static let cluster: Int64 = 64 << 10
    /// Bytes of the first-level table, more than which QEMU refuses.
    private static let tableLimit: UInt64 = 32 << 20

    /// - Returns: the disk's size in bytes.
    /// - Throws: `.invalid` with the reason.
    static func check(_ header: [UInt8], fileSize: Int64) throws(SkalaError) -> Int64 {
        func damaged(_ what: String) -> SkalaError { SkalaError(.invalid, "the qcow2 disk is damaged: \(what)") }
        guard header.count >= 104, fileSize >= 104 else { throw damaged("it ends within its header") }
        let version = number(header, 4, 4)
        guard version == 2 || version == 3 else { throw SkalaError(.invalid, "qcow2 version \(version) is not known") }
        guard number(header, 8, 8) == 0, number(header, 16, 4) == 0 else {
            throw SkalaError(.invalid, "the qcow2 disk needs a backing file: flatten it with qemu-img convert")
        }
        guard number(header, 32, 4) == 0 else { throw SkalaError(.invalid, "the qcow2 disk is encrypted") }
        if version == 3 { try checkFeatures(header) }
        let bits = number(header, 20, 4)
        guard (9...21).contains(bits) else { throw damaged("clusters of 2^\(bits) bytes") }
        let size = number(header, 24, 8)
        guard size >= 512, size <= UInt64(DiskFormat.maximumSize), size % 512 == 0 else {
            throw damaged("a size of \(size)")
        }
        // An entry of the first-level table leads to a cluster of entries, of 8 bytes or, when they are extended, 16.
        let isExtended = version == 3 && number(header, 72, 8) & 16 != 0
        let perEntry = UInt64(1) << (2 * bits - (isExtended ? 4 : 3))
        let entries = number(header, 36, 4)
        guard entries * 8 <= tableLimit, entries >= (size + perEntry - 1) / perEntry else {
            throw damaged("a table of \(entries) entries for \(size) bytes")
        }
        let end = UInt64(fileSize)
        for (name, offset, bytes) in [
            ("first-level table", number(header, 40, 8), entries * 8),
            ("table of references", number(header, 48, 8), number(header, 56, 4) << bits),
        ] {
            guard offset % (1 << bits) == 0, offset > 0, offset < end, bytes <= end else {
                throw damaged("its \(name) lies outside")
            }
        }
        return Int64(size)
    }

    private static func checkFeatures(_ header: [UInt8]) throws(SkalaError) {
        let features = number(header, 72, 8)
        if features & 4 != 0 {
            throw SkalaError(
                .invalid, "the qcow2 disk keeps its data in another file: flatten it with qemu-img convert")
        }
        if features & 2 != 0 { throw SkalaError(.invalid, "the qcow2 disk is marked as corrupt: see qemu-img check") }
        // Dirty, compression type, extended entries.
        guard features & ~(1 | 8 | 16) == 0 else {
            throw SkalaError(.invalid, "the qcow2 disk has features that are not known: \(String(features, radix: 16))")
        }
    }

    private static func number(_ bytes: [UInt8], _ offset: Int, _ count: Int) -> UInt64 {
        bytes[offset..<offset + count].reduce(0) { $0 << 8 | UInt64($1) }
    }

    /// An empty image of version 3, in which everything is read from what it is put over. Pure.
    ///
    /// - Parameter size: a multiple of 512.
    public static func empty(size: Int64) -> [UInt8] {
        let entries = (size + (512 << 20) - 1) / (512 << 20)
        let tableClusters = (entries * 8 + cluster - 1) / cluster
        var image = [UInt8](repeating: 0, count: Int((3 + tableClusters) * cluster))
        func put(_ value: Int64, _ offset: Int, _ count: Int) {
            for index in 0..<count {
                image[offset + index] = UInt8(truncatingIfNeeded: value >> Int64((count - 1 - index) * 8))
            }
        }
        for (index, byte) in magic.enumerated() { image[index] = byte }
        // Version; cluster bits; size; first-level table; table of references and its clusters.
        for (value, offset, count) in [
            (3, 4, 4), (16, 20, 4), (size, 24, 8), (entries, 36, 4), (3 * cluster, 40, 8), (cluster, 48, 8), (1, 56, 4),
            // References of 2^4 bits; the header's length.
            (4, 96, 4), (104, 100, 4), (2 * cluster, Int(cluster), 8),
        ] { put(value, offset, count) }
        for used in 0..<Int(3 + tableClusters) { put(1, Int(2 * cluster) + 2 * used, 2) }
        return image
    }
}
