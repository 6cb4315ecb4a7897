import Base
import CLinux
import Glibc
import Kernel
import TestSupport
import Testing

@testable import Archives

@Suite(.enabled(if: getuid() == 0, "needs root")) struct ArchiveTests {
    let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    /// An archive of the folder `from`.
    private func pack() throws -> String {
        let path = folder.path + "/archive.tar"
        let file = try OwnedDescriptor.open(path, O_WRONLY | O_CREAT | O_TRUNC)
        let from = try OwnedDescriptor.open(folder.path + "/from", O_RDONLY | CL_O_DIRECTORY)
        let writer = ArchiveWriter(descriptor: file.raw)
        try writer.addContents(of: from.raw, "from")
        try writer.finish()
        return path
    }

    private func unpack(_ path: String) throws {
        try FileContents.makeDirectories(folder.path + "/to")
        let file = try OwnedDescriptor.open(path, O_RDONLY)
        let to = try OwnedDescriptor.open(folder.path + "/to", O_RDONLY | CL_O_DIRECTORY)
        var unpacker = LayerUnpacker(folder: to, hasWhiteouts: false)
        try unpacker.unpack(TarReader(descriptor: file.raw))
    }

    /// Everything `find` and `sha256sum` tell of a tree.
    private func listing(_ name: String) throws -> String {
        let script = """
            cd '\(folder.path)/\(name)' && find . -mindepth 1 -printf '%P %y %m %U:%G %n %T@ %s %l\\n' | grep -av ' s ' | sort
            find . -type f -exec sha256sum {} + | sort -k 2
            find . -type f -exec getfattr -h -d -m user {} + 2>/dev/null
            find . -type c -exec stat -c '%n %t:%T' {} + | sort
            """
        return try Subprocess.output(["/bin/sh", "-c", script], limit: 1 << 20)
    }

    /// Of every kind, with what the old header cannot hold.
    private func makeTree() throws {
        let script = """
            set -e
            mkdir -p '\(folder.path)/from' && cd '\(folder.path)/from'
            echo one >file; chmod 4750 file; chown 5:6 file; ln file same; ln -s file link; mkfifo -m 600 pipe
            mknod zero c 1 5; mknod big c 511 300000; mkdir -p d/e; : >d/e/empty; chmod 1777 d; chown 3000000:4294967294 d
            ln -s "$(printf 'x/%.0s' $(seq 100))" longlink
            p=$(printf 'long-name-%.0s' $(seq 20)); mkdir "$p"; echo two >"$p/$p"; echo three >"$p/short"
            mkdir -p "$(printf 'deep/%.0s' $(seq 80))"; echo four >"$(printf 'deep/%.0s' $(seq 80))f"
            printf 'bytes' >"$(printf 'a\\377\\001b\\nc')"; echo u >'ümlaut'; echo s >' lead'
            head -c 700000 /dev/urandom >large; truncate -s 3000000 hole; echo end >>hole
            touch -d '1969-12-31 23:59:58.25 UTC' file; touch -d '2300-01-02 03:04:05.123456789 UTC' large
            """
        _ = try Subprocess.output(["/bin/bash", "-c", script], limit: 1 << 16)
        // A folder on a file system without user attributes has none to keep.
        setxattr(folder.path + "/from/file", "user.note", "a\u{0}b", 3, 0)
    }

    @Test func whatIsPackedIsUnpacked() throws {
        try makeTree()
        let path = try pack()
        try unpack(path)
        let (before, after) = (try listing("from"), try listing("to"))
        #expect(before.contains("longlink") && before.contains("3000000:4294967294"))
        #expect(before == after)
    }

    @Test func otherProgramsReadIt() throws {
        try makeTree()
        let path = try pack()
        try FileContents.makeDirectories(folder.path + "/to")
        _ = try Subprocess.output(
            ["/bin/tar", "--numeric-owner", "--xattrs", "-xpf", path, "-C", folder.path + "/to"], limit: 1 << 16)
        #expect(try listing("from") == listing("to"))
    }

    @Test func nothingOfAnArchiveMayBeMissing() throws {
        var archive = TarArchive()
        archive.add(.file, "a", String(repeating: "x", count: 1000), pax: [("mtime", Array("5.5".utf8))])
        let whole = archive.finished
        for count in stride(from: 0, to: whole.count - 512, by: 100) {
            let path = try folder.write("cut.tar", Array(whole.prefix(count)))
            let error = #expect(throws: SkalaError.self, "\(count)") { try unpack(path) }
            #expect(error?.code == .invalid)
        }
        try unpack(try folder.write("cut.tar", whole))
    }

    @Test(arguments: [
        ("path", "../x"), ("path", ""), ("path", "a\u{0}b"), ("linkpath", "a\u{0}b"), ("size", "-1"), ("size", "1"),
        ("size", "9223372036854775808"), ("uid", "4294967296"), ("uid", "-1"), ("mtime", "1.2.3"), ("mtime", "x"),
        ("mtime", "1.1234567890"), ("nonsense", "1"), ("SCHILY.xattr.", "1"),
    ])
    func malformedRecordsAreRefused(key: String, value: String) throws {
        var archive = TarArchive()
        archive.add(.folder, Array("a".utf8), pax: [(key, Array(value.utf8))])
        let path = try folder.write("bad.tar", archive.finished)
        let error = #expect(throws: SkalaError.self) { try unpack(path) }
        #expect(error?.code == .invalid)
    }

    @Test func whatAVMWouldNotTakeFromAnotherIsRefused() throws {
        for change in [(156, UInt8(ascii: "g")), (156, UInt8(ascii: "9")), (257, 0), (124, UInt8(ascii: "8")), (3, 1)] {
            var archive = TarArchive()
            archive.add(.file, "file", "x")
            var bytes = archive.finished
            bytes[change.0] = change.1
            let path = try folder.write("bad.tar", bytes)
            let error = #expect(throws: SkalaError.self, "\(change)") { try unpack(path) }
            #expect(error?.code == .invalid)
        }
    }

    @Test func whiteoutsAreAnImages() throws {
        let script = """
            cd '\(folder.path)' && mkdir -p from/d from/opaque && mknod from/d/gone c 0 0 && \
            python3 -c 'import os; os.setxattr("from/opaque", "trusted.overlay.opaque", b"y")'
            """
        _ = try Subprocess.output(["/bin/sh", "-c", script], limit: 1 << 16)
        let path = folder.path + "/archive.tar"
        let file = try OwnedDescriptor.open(path, O_WRONLY | O_CREAT)
        let from = try OwnedDescriptor.open(folder.path + "/from", O_RDONLY | CL_O_DIRECTORY)
        let writer = ArchiveWriter(descriptor: file.raw)
        try writer.addContents(of: from.raw, "from", overlay: true)
        try writer.finish()
        let names = try Subprocess.output(["/bin/tar", "-tf", path], limit: 1 << 16)
        #expect(names == "d/\nd/.wh.gone\nopaque/\nopaque/.wh..wh..opq\n")
    }
}

/// Headers alone, without gigabytes behind them.
struct TarHeaderTests {
    @Test(arguments: [0, 1, 8_589_934_591, 8_589_934_592, 9_000_000_000_000] as [Int64])
    func sizesOfAnyLengthAreKept(size: Int64) throws {
        var entry = TarEntry(.file, Array("big".utf8))
        entry.size = size
        let ends = try Pipe.make()
        try FileContents.append(TarHeader.encode(entry), to: ends.write.raw, "pipe")
        ends.write.close()
        let read = try #require(try TarReader(descriptor: ends.read.raw).nextEntry())
        #expect(read.size == size && read.path == entry.path)
    }

    /// Every length of a path from none to beyond what any field holds.
    @Test func namesOfAnyLengthAreKept() throws {
        for count in 1...600 {
            for part in [9, 99, 100, 101, 1000] {
                let path = (0..<count).map { ($0 + 1) % (part + 1) == 0 ? UInt8(ascii: "/") : UInt8(ascii: "n") }
                let ends = try Pipe.make()
                try FileContents.append(TarHeader.encode(TarEntry(.folder, path)), to: ends.write.raw, "pipe")
                ends.write.close()
                let read = try TarReader(descriptor: ends.read.raw).nextEntry()
                #expect(read?.path == path)
            }
        }
    }
}
