import CLinux
import Glibc
import Kernel
import TestSupport
import Testing

struct FileContentsTests {
    private let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    @Test func filesAreReplacedAtOnce() throws {
        let path = folder.path + "/file"
        try FileContents.replace(path, with: Array("old".utf8), mode: 0o600)
        let reader = try OwnedDescriptor.open(path, O_RDONLY)
        try FileContents.replace(path, with: Array("new and longer".utf8))
        #expect(try folder.text("file") == "new and longer")
        #expect(try Pipe.read(reader.raw, upTo: 100) == Array("old".utf8), "a reader keeps the old one whole")
        #expect(try FileContents.names(in: folder.path) == ["file"])
        #expect(throws: KernelError.self) { try FileContents.replace(folder.path + "/none/file", with: []) }
    }

    @Test func aFileThatIsOverwrittenStaysTheSame() throws {
        let path = try folder.write("file", Array("a long text".utf8))
        var before = stat()
        var after = stat()
        stat(path, &before)
        try FileContents.overwrite(path, with: Array("short".utf8))
        stat(path, &after)
        #expect(before.st_ino == after.st_ino)
        #expect(try folder.text("file") == "short")
    }

    @Test func readingIsLimited() throws {
        try folder.write("file", [UInt8](repeating: 1, count: 100_000))
        #expect(try FileContents.read(folder.path + "/file", limit: 100_000).count == 100_000)
        let error = #expect(throws: KernelError.self) { try FileContents.read(folder.path + "/file", limit: 99_999) }
        #expect(error?.errno == EFBIG)
    }

    @Test func nothingInARootLeadsOutside() throws {
        try folder.write("secret", Array("outside".utf8))
        try folder.write("root/etc/passwd", Array("inside".utf8))
        let root = folder.path + "/root"
        for (name, target) in [
            ("up", "../../secret"), ("absolute", folder.path + "/secret"),
            ("proc", "/proc/self/root" + folder.path + "/secret"),
        ] {
            #expect(symlink(target, root + "/" + name) == 0)
            #expect(throws: KernelError.self, "\(name)") { try FileContents.read(name, inRoot: root) }
        }
        #expect(symlink("/", root + "/top") == 0 && symlink("/../../etc", root + "/etc2") == 0)
        #expect(symlink("loop", root + "/loop") == 0)
        for path in [
            "/etc/passwd", "etc/passwd", "top/etc/passwd", "etc2/passwd", "../../../etc/passwd",
            "/top/top/../etc/passwd",
        ] {
            #expect(try FileContents.read(path, inRoot: root) == Array("inside".utf8), "\(path)")
        }
        let loop = #expect(throws: KernelError.self) { try FileContents.read("loop", inRoot: root) }
        #expect(loop?.errno == ELOOP)
        // A pipe without a writer must not hold us up.
        #expect(mkfifo(root + "/pipe", 0o600) == 0)
        #expect(try FileContents.read("pipe", inRoot: root).isEmpty)
    }

    @Test func treesAreRemovedWhateverTheirNames() throws {
        let tree = folder.path + "/tree"
        try folder.write("tree/a/b/c", Array("x".utf8))
        try folder.write("kept", Array("x".utf8))
        #expect(symlink(folder.path + "/kept", tree + "/link") == 0 && symlink(folder.path, tree + "/up") == 0)
        for byte: UInt8 in [0xE9, 0xFF, 0x0A] {
            let name: [CChar] = Array((tree + "/").utf8CString.dropLast()) + [CChar(bitPattern: byte)]
            #expect(mkdir(name + [0], 0o700) == 0)
            #expect(mkdir(name + Array("/x".utf8CString), 0) == 0)
        }
        try FileContents.removeTree(tree)
        #expect(access(tree, F_OK) != 0)
        #expect(try folder.text("kept") == "x")
        try FileContents.removeTree(tree)
        #expect(symlink(folder.path + "/kept", tree) == 0)
        try FileContents.removeTree(tree)
        #expect(try FileContents.names(in: folder.path) == ["kept"])
    }

    /// A container can nest folders deeper than any path reaches.
    @Test func treesAreRemovedHoweverDeep() throws {
        let tree = folder.path + "/deep"
        try FileContents.makeDirectories(tree)
        var current = try OwnedDescriptor.open(tree, O_RDONLY | CL_O_DIRECTORY)
        for _ in 0..<700 {
            try checkErrno(mkdirat(current.raw, "a-longer-name", 0o700), "mkdirat")
            current = OwnedDescriptor(
                try check(cl_openat(current.raw, "a-longer-name", O_RDONLY | CL_O_DIRECTORY, 0), "openat"))
        }
        current.close()
        #expect(try DiskUsage.bytes(below: tree) == 0)
        try FileContents.removeTree(tree)
        #expect(access(tree, F_OK) != 0)
    }

    @Test func usageCountsEachFileOnce() throws {
        try folder.write("a/file", [UInt8](repeating: 1, count: 1000))
        try folder.write("b", [UInt8](repeating: 1, count: 10))
        #expect(link(folder.path + "/a/file", folder.path + "/same") == 0)
        #expect(try DiskUsage.bytes(below: folder.path) == 1010)
        #expect(try DiskUsage.bytes(below: folder.path + "/none") == 0)
        for index in 0..<3 {
            let file = try OwnedDescriptor.open(folder.path + "/sparse\(index)", O_RDWR | O_CREAT)
            #expect(ftruncate(file.raw, 1 << 43) == 0)
        }
        #expect(try DiskUsage.bytes(below: folder.path) == 1010 + 3 << 43)
    }

    @Test func programsAreRun() throws {
        #expect(try Subprocess.output(["/bin/echo", "a", "b c"], limit: 100) == "a b c\n")
        #expect(try Subprocess.run(["/bin/sh", "-c", "exit 7"]) == 7)
        #expect(try Subprocess.run(["/bin/sh", "-c", "kill -9 $$"]) == 137)
        #expect(throws: KernelError.self) { try Subprocess.run(["/nonexistent"]) }
        #expect(throws: KernelError.self) { try Subprocess.output(["/bin/false"], limit: 1) }
    }
}
