import Base
import CLinux
import Glibc
import Kernel
import TestSupport
import Testing

@testable import Warden

struct InheritedDescriptorTests {
    private static let page = 4096

    /// A template's memory: data, a hole, data.
    private func template(in folder: TemporaryFolder) throws -> String {
        let path = folder.path + "/memory"
        let file = try OwnedDescriptor.open(path, O_RDWR | O_CREAT)
        try checkErrno(ftruncate(file.raw, 64 * InheritedDescriptorTests.page), "truncate", path)
        var byte: UInt8 = 7
        for offset in [0, 40 * InheritedDescriptorTests.page] { pwrite(file.raw, &byte, 1, offset) }
        return path
    }

    /// What QEMU does with the memory of its template, and what one that was taken over may try.
    @Test func sealedMemoryCannotBeChanged() throws {
        let folder = try TemporaryFolder()
        let path = try template(in: folder)
        let inherited = InheritedDescriptors()
        let file = try #require(try inherited.open([["sealed": JSON(path)]]).first)
        // QEMU opens it again, for writing.
        let opened = try OwnedDescriptor.open("/proc/self/fd/\(file.raw)", O_RDWR)
        let size = 64 * InheritedDescriptorTests.page
        #expect(lseek(opened.raw, 0, SEEK_END) == size)
        let memory = mmap(nil, size, PROT_READ | PROT_WRITE, MAP_PRIVATE, opened.raw, 0)
        #expect(memory != MAP_FAILED)
        let bytes = try #require(memory?.assumingMemoryBound(to: UInt8.self))
        #expect(bytes[0] == 7 && bytes[4096] == 0 && bytes[40 * 4096] == 7)
        bytes[0] = 8
        munmap(memory, size)
        #expect(mmap(nil, size, PROT_READ | PROT_WRITE, MAP_SHARED, opened.raw, 0) == MAP_FAILED)
        var byte: UInt8 = 9
        #expect(pwrite(opened.raw, &byte, 1, 0) == -1)
        // As QEMU does with the pages that a guest gives back.
        let punch = ["/usr/bin/fallocate", "--punch-hole", "--length", "4096", "/proc/self/fd/3"]
        #expect(try Subprocess.run(punch, inheriting: opened.raw) != 0)
        #expect(ftruncate(opened.raw, 0) == -1)
        pread(opened.raw, &byte, 1, 0)
        #expect(byte == 7)
    }

    @Test func sealedMemoryIsKeptUntilItIsForgotten() throws {
        let folder = try TemporaryFolder()
        let path = try template(in: folder)
        let inherited = InheritedDescriptors()
        func inode() throws -> UInt64 {
            var status = stat()
            let file = try #require(try inherited.open([["sealed": JSON(path)]]).first)
            try checkErrno(fstat(file.raw, &status), "fstat", path)
            return UInt64(status.st_ino)
        }
        let first = try inode()
        #expect(try inode() == first)
        _ = inherited.forget(["path": JSON(path)])
        #expect(try inode() != first)
    }

    @Test func aCopyIsItsOwnersAlone() throws {
        let folder = try TemporaryFolder()
        let path = try template(in: folder)
        let files = try InheritedDescriptors().open([["copied": JSON(path)], ["copied": JSON(path)]])
        var byte: UInt8 = 9
        #expect(pwrite(files[0].raw, &byte, 1, 0) == 1)
        pread(files[1].raw, &byte, 1, 0)
        #expect(byte == 7)
    }

    @Test(arguments: [
        "[{}]", #"[{"tap":""}]"#, #"[{"file":"/nosuch/file"}]"#, #"[{"file":"/etc/passwd","mode":"execute"}]"#,
        #"[{"sealed":"/nosuch/file"}]"#, #"[{"listen":"/nosuch/folder/socket"}]"#,
        "[" + Array(repeating: #"{"file":"/dev/null"}"#, count: 17).joined(separator: ",") + "]",
    ])
    func whatCannotBeOpenedIsAnError(json: String) throws {
        let list = try JSON(parsing: json)
        #expect(throws: (any Error).self) { try InheritedDescriptors().open(list) }
    }
}
