import Base
import CLinux
import Glibc
import Kernel
import Machines
import TestSupport
import Testing

/// Captured here is this very process, which maps a sealed memory as QEMU does.
@Suite(.serialized) struct GuestMemoryTests {
    private static let pages = 700
    private static let bytes = pages * 4096

    private let folder: TemporaryFolder
    private let sealed: OwnedDescriptor
    private let content: [UInt8]

    init() throws {
        folder = try TemporaryFolder()
        // Data, a hole, data again.
        var content = [UInt8](repeating: 0, count: GuestMemoryTests.bytes)
        for index in 0..<4096 * 10 { content[index] = UInt8(truncatingIfNeeded: index / 7) }
        for index in 4096 * 600..<4096 * 650 { content[index] = UInt8(truncatingIfNeeded: index / 11) }
        self.content = content
        let source = try OwnedDescriptor.open(try folder.write("source", content), O_RDONLY)
        sealed = OwnedDescriptor(try check(cl_sealed_memory(source.raw, "skala-memory"), "seal"))
    }

    @Test(.enabled(if: getuid() == 0)) func itIsTheBaseWithWhatWasWrittenOverIt() throws {
        let map = try #require(
            mmap(nil, GuestMemoryTests.bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE, sealed.raw, 0))
        try #require(map != MAP_FAILED)
        defer { munmap(map, GuestMemoryTests.bytes) }
        var expected = content
        func write(_ offset: Int, _ bytes: [UInt8]) {
            map.advanced(by: offset).copyMemory(from: bytes, byteCount: bytes.count)
            expected.replaceSubrange(offset..<offset + bytes.count, with: bytes)
        }
        write(5, [1, 2, 3])
        write(4096 * 255 + 4000, [UInt8](repeating: 9, count: 300))
        write(4096 * 601, [UInt8](repeating: 0, count: 4096))
        write(GuestMemoryTests.bytes - 1, [7])
        // Only looked at: this page stays the file's.
        #expect(map.load(fromByteOffset: 4096 * 602, as: UInt8.self) == content[4096 * 602])
        let memory = try GuestMemory(
            pid: getpid(), bytes: Int64(GuestMemoryTests.bytes), descriptor: sealed.raw, path: folder.path + "/memory")
        // Written after the base was copied.
        write(4096 * 300, [4, 5, 6])
        #expect(try memory.copyOwn() == 6 * 4096)
        #expect(try FileContents.read(folder.path + "/memory") == expected)
    }

    @Test func whatIsNotTheVMsMemoryIsRefused() throws {
        func refuses(_ bytes: Int64, _ descriptor: Int32) {
            let path = folder.path + "/m\(Int.random(in: 0...Int.max))"
            #expect(throws: SkalaError.self) {
                _ = try GuestMemory(pid: getpid(), bytes: bytes, descriptor: descriptor, path: path)
            }
        }
        // Nothing is mapped.
        refuses(Int64(GuestMemoryTests.bytes), sealed.raw)
        let map = try #require(mmap(nil, 4096, PROT_READ, MAP_PRIVATE, sealed.raw, 0))
        defer { munmap(map, 4096) }
        // Less than it should be, and of a larger file.
        refuses(Int64(GuestMemoryTests.bytes), sealed.raw)
        refuses(4096, sealed.raw)
    }
}
