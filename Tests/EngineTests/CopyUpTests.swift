import CLinux
import Glibc
import Kernel
import TestSupport
import Testing

@testable import Engine

struct CopyUpTests {
    private let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    private func whiteout(_ path: String) throws {
        try checkErrno(mknod(folder.path + path, S_IFCHR, 0), "mknod", path)
    }

    private func makeOpaque(_ path: String) throws {
        try checkErrno(setxattr(folder.path + path, "trusted.overlay.opaque", "y", 1, 0), "setxattr", path)
    }

    private func write(_ paths: String...) throws { for path in paths { try folder.write(path, Array(path.utf8)) } }

    /// What a volume holds after the copy, one path a line; bytes that are no UTF-8 as find shows them.
    private func copied(_ path: String, layers: [String]) throws -> [String] {
        let volume = folder.path + "/volume"
        try FileContents.makeDirectories(volume)
        try CopyUp(layers: layers.map { folder.path + "/" + $0 }, path: path).copy(into: volume)
        let command = ["/usr/bin/env", "LC_ALL=C", "find", volume, "-mindepth", "1", "-printf", "%P\\n"]
        return try Subprocess.output(command, limit: 1 << 20).split(separator: "\n").map(String.init).sorted()
    }

    @Test(.enabled(if: getuid() == 0)) func theVolumeHoldsWhatTheImageShows() throws {
        try write(
            "low/d/kept", "low/d/removed", "low/d/sub/hidden", "low/d/folder/removed", "low/d/file", "low/d/tree/file",
            "high/d/sub/new", "high/d/file/below", "high/d/tree2")
        for path in ["/high/d/removed", "/high/d/folder"] { try whiteout(path) }
        try makeOpaque("/high/d/sub")
        // A file in the place of a folder.
        try write("high/d/tree")
        #expect(
            try copied("/d", layers: ["high", "low"]) == [
                "file", "file/below", "kept", "sub", "sub/new", "tree", "tree2",
            ])
        var value: UInt8 = 0
        #expect(getxattr(folder.path + "/volume/sub", "trusted.overlay.opaque", &value, 1) == -1)
        let text = try FileContents.read(folder.path + "/volume/kept")
        #expect(text == Array("low/d/kept".utf8))
        // Something is there: it stays.
        #expect(try copied("/d", layers: ["low"]).contains("sub/new"))
    }

    @Test(.enabled(if: getuid() == 0), arguments: ["whiteout", "opaque", "above", "file"])
    func whatIsHiddenStaysHidden(how: String) throws {
        try write("low/a/d/hidden", "high/other")
        if how == "file" { try write("high/a/d") } else { try FileContents.makeDirectories(folder.path + "/high/a") }
        if how == "whiteout" { try whiteout("/high/a/d") }
        if how == "above" { try makeOpaque("/high/a") }
        if how == "opaque" {
            try write("high/a/d/new")
            try makeOpaque("/high/a/d")
        }
        #expect(try copied("/a/d", layers: ["high", "low"]) == (how == "opaque" ? ["new"] : []))
    }

    @Test(.enabled(if: getuid() == 0)) func namesAreBytes() throws {
        try write("low/d/sub/x", "high/d/y")
        func odd(_ path: String) -> [CChar] { (folder.path + path).utf8CString.dropLast() + [-23, -1, 0] }
        try checkErrno(mkdir(odd("/low/d/"), 0o755), "mkdir")
        let below = odd("/low/d/").dropLast() + "/in".utf8CString
        #expect(close(open(Array(below), O_CREAT | O_WRONLY, 0o644)) == 0)
        try checkErrno(mkdir(odd("/low/d/sub/"), 0o755), "mkdir")
        // Removed by the layer above.
        try FileContents.makeDirectories(folder.path + "/high/d/sub")
        try checkErrno(mknod(odd("/high/d/sub/"), S_IFCHR, 0), "mknod")
        _ = try copied("/d", layers: ["high", "low"])
        let volume = try OwnedDescriptor.open(folder.path + "/volume", O_RDONLY)
        #expect(try FileContents.names(in: volume.raw, "volume").first == [-23, -1, 0])
        #expect(access(Array(odd("/volume/").dropLast() + "/in".utf8CString), F_OK) == 0)
        #expect(try FileContents.names(in: folder.path + "/volume/sub") == ["x"])
        // They count, too.
        try folder.write("volume/sub/x", [1, 2, 3])
        #expect(truncate(Array(odd("/volume/").dropLast() + "/in".utf8CString), 100) == 0)
        #expect(try DiskUsage.bytes(below: folder.path + "/volume") == 100 + 3 + 8)
    }
}
