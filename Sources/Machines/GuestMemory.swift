import Base
import CLinux
import Glibc
import Kernel

/// The memory of a VM, read from outside while its processors stand still. Blocking.
///
/// QEMU has it as a private mapping of a template's sealed memory: most pages are still the template's, and only those that
/// the guest has written to are its own, as the kernel's page map tells (Documentation/admin-guide/mm/pagemap.rst). So what
/// is copied while the VM stands still grows with what it wrote, and not with its size.
public struct GuestMemory: Sendable {
    private struct Area: Sendable {
        let start: UInt64
        let bytes: UInt64
        /// In the file.
        let offset: UInt64
    }

    private static let pageSize: UInt64 = 4096
    /// Pages looked at, and bytes copied, at a time.
    private static let pagesAtOnce: UInt64 = 256
    /// Bits of an entry of the page map: in memory or swapped out; and the file's, not the process's own.
    private static let isThere: UInt64 = 3 << 62
    private static let isOfFile: UInt64 = 1 << 61
    /// What /proc calls it.
    static let link = "/memfd:skala-memory (deleted)"
    /// The descriptor of the memory, which QEMU inherited first.
    public static let inherited: Int32 = 3

    private let pid: Int32
    private let areas: [Area]
    private let target: OwnedDescriptor

    /// Copies what the VM was started with, which nobody can change: the VM may run meanwhile.
    ///
    /// - Parameters:
    ///   - pid: QEMU's process.
    ///   - bytes: the guest's memory.
    ///   - descriptor: what QEMU has it open as.
    ///   - path: a file to be made, of the memory.
    /// - Throws: `.system` when its mapping is not what we made.
    public init(
        pid: Int32, bytes: Int64, descriptor: Int32 = GuestMemory.inherited, path: String
    ) throws {
        self.pid = pid
        let maps = String(decoding: try FileContents.read("/proc/\(pid)/maps"), as: UTF8.self)
        areas = maps.split(separator: "\n").compactMap(GuestMemory.area)
        let total = areas.reduce(UInt64(0)) { $0 + $1.bytes }
        guard total == UInt64(bytes) else {
            throw SkalaError(.system, "the VM maps \(total) bytes of memory, not \(bytes)")
        }
        target = try .open(path, O_WRONLY | O_CREAT | O_EXCL, mode: 0o600)
        let base = try GuestMemory.file(pid, descriptor, bytes)
        guard areas.allSatisfy({ $0.offset <= UInt64(bytes) - $0.bytes }) else { throw GuestMemory.isAnother }
        try check(cl_copy_sparse(base.raw, target.raw), "copy", "the VM's memory")
    }

    private static let isAnother = SkalaError(.system, "the VM's memory is not what it was started with")

    /// Whoever took QEMU over may have put something else there.
    private static func file(_ pid: Int32, _ descriptor: Int32, _ bytes: Int64) throws -> OwnedDescriptor {
        let file = try OwnedDescriptor.open("/proc/\(pid)/fd/\(descriptor)", O_RDONLY | O_NONBLOCK)
        var status = stat()
        guard fstat(file.raw, &status) == 0, status.st_mode & S_IFMT == S_IFREG, status.st_size == bytes else {
            throw isAnother
        }
        return file
    }

    /// Copies the memory of a VM that shares it, and stands still: what has been touched of it.
    ///
    /// - Returns: the bytes that the copy takes.
    public static func copyShared(pid: Int32, bytes: Int64, path: String) throws -> Int64 {
        let target = try OwnedDescriptor.open(path, O_WRONLY | O_CREAT | O_EXCL, mode: 0o600)
        let source = try file(pid, inherited, bytes)
        try check(cl_copy_sparse(source.raw, target.raw), "copy", "the VM's memory")
        var status = stat()
        try checkErrno(fstat(target.raw, &status), "stat", path)
        return Int64(status.st_blocks) * 512
    }

    /// `START-END rw-p OFFSET DEVICE INODE /memfd:skala-memory (deleted)`
    private static func area(_ line: Substring) -> Area? {
        guard line.hasSuffix(" " + link) else { return nil }
        let fields = line.split(separator: " ")
        let ends = fields[0].split(separator: "-").compactMap { UInt64($0, radix: 16) }
        guard fields.count > 3, ends.count == 2, ends[1] > ends[0], fields[1].hasSuffix("p"),
            let offset = UInt64(fields[2], radix: 16)
        else { return nil }
        return Area(start: ends[0], bytes: ends[1] - ends[0], offset: offset)
    }

    /// Writes the VM's own pages over the copy.
    ///
    /// - Returns: their bytes.
    public func copyOwn() throws -> Int64 {
        let pages = try OwnedDescriptor.open("/proc/\(pid)/pagemap", O_RDONLY)
        let memory = try OwnedDescriptor.open("/proc/\(pid)/mem", O_RDONLY)
        var total: Int64 = 0
        for area in areas {
            var at: UInt64 = 0
            while at < area.bytes {
                let count = min(GuestMemory.pagesAtOnce, (area.bytes - at) / GuestMemory.pageSize)
                for run in try GuestMemory.ownPages(pages, first: (area.start + at) / GuestMemory.pageSize, count) {
                    let from = at + run.lowerBound * GuestMemory.pageSize
                    let bytes = UInt64(run.count) * GuestMemory.pageSize
                    try GuestMemory.copy(
                        memory, at: area.start + from, to: target, at: area.offset + from, bytes: Int(bytes))
                    total += Int64(bytes)
                }
                at += count * GuestMemory.pageSize
            }
        }
        return total
    }

    /// Runs of pages that are the process's own, counted from the first.
    private static func ownPages(
        _ pages: OwnedDescriptor, first: UInt64, _ count: UInt64
    ) throws(KernelError) -> [Range<UInt64>] {
        var entries = [UInt64](repeating: 0, count: Int(count))
        let read = entries.withUnsafeMutableBytes { pread(pages.raw, $0.baseAddress, $0.count, Int(first) * 8) }
        guard try checkErrno(read, "read", "the page map") == Int(count) * 8 else {
            throw KernelError("read", "the page map", errno: EIO)
        }
        var runs: [Range<UInt64>] = []
        for (index, entry) in entries.enumerated() where entry & isThere != 0 && entry & isOfFile == 0 {
            let page = UInt64(index)
            if let last = runs.last, last.upperBound == page {
                runs[runs.count - 1] = last.lowerBound..<page + 1
            } else {
                runs.append(page..<page + 1)
            }
        }
        return runs
    }

    private static func copy(
        _ memory: OwnedDescriptor, at source: UInt64, to target: OwnedDescriptor, at offset: UInt64, bytes: Int
    ) throws(KernelError) {
        let failure = withUnsafeTemporaryAllocation(byteCount: bytes, alignment: 4096) { buffer -> KernelError? in
            guard pread(memory.raw, buffer.baseAddress, bytes, Int(source)) == bytes else {
                return KernelError("read", "the VM's memory", errno: errno == 0 ? EIO : errno)
            }
            var written = 0
            while written < bytes {
                let count = pwrite(
                    target.raw, buffer.baseAddress?.advanced(by: written), bytes - written, Int(offset) + written)
                guard count > 0 else { return KernelError("write", "the VM's memory", errno: errno) }
                written += count
            }
            return nil
        }
        if let failure { throw failure }
    }
}
