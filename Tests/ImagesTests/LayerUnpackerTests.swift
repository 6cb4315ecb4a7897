import Base
import CLinux
import Glibc
import Kernel
import TestSupport
import Testing

@testable import Images

@Suite(.enabled(if: isRoot, "needs root")) struct LayerUnpackerTests {
    @Test func everyKindIsUnpacked() throws {
        let fixture = try LayerFixture()
        var archive = TarArchive()
        archive.add(.folder, Array("etc/".utf8), mode: 0o750, uid: 7, gid: 8, time: 1000)
        archive.add(
            .file, Array("etc/passwd".utf8), data: Array("root".utf8), mode: 0o4755, uid: 1000, gid: 1001, time: 2000)
        archive.add(.hardLink, "etc/same", link: "etc/passwd")
        archive.add(.symbolicLink, "etc/link", link: "/etc/passwd")
        archive.add(.characterDevice, Array("dev/null".utf8), mode: 0o666, device: (1, 3))
        archive.add(.blockDevice, Array("dev/loop0".utf8), mode: 0o660, gid: 6, device: (7, 0))
        archive.add(.pipe, "run/pipe", mode: 0o622)
        archive.add(.file, "./a//b/./c", "deep")
        try fixture.unpack(archive.finished)
        let folder = try #require(fixture.status("etc"))
        #expect(folder.st_mode == S_IFDIR | 0o750 && folder.st_uid == 7 && folder.st_gid == 8)
        #expect(folder.st_mtim.tv_sec == 1000, "set after what is in it")
        let file = try #require(fixture.status("etc/passwd"))
        #expect(file.st_mode == S_IFREG | 0o4755 && file.st_uid == 1000 && file.st_gid == 1001)
        #expect(file.st_mtim.tv_sec == 2000 && file.st_nlink == 2)
        #expect(fixture.status("etc/same")?.st_ino == file.st_ino)
        #expect(fixture.target("etc/link") == "/etc/passwd")
        #expect(fixture.kind("dev/null") == S_IFCHR && fixture.status("dev/null")?.st_rdev == 0x103)
        #expect(fixture.kind("dev/loop0") == S_IFBLK && fixture.status("dev/loop0")?.st_gid == 6)
        #expect(fixture.status("run/pipe")?.st_mode == S_IFIFO | 0o622)
        #expect(try fixture.text("a/b/c") == "deep")
        #expect(try fixture.strays.isEmpty)
    }

    @Test func whiteoutsBecomeOverlays() throws {
        let fixture = try LayerFixture()
        var archive = TarArchive()
        archive.add(.folder, "opaque")
        archive.add(.file, "opaque/.wh..wh..opq")
        archive.add(.file, "opaque/new", "x")
        archive.add(.file, "etc/.wh.gone")
        archive.add(.file, ".wh..wh.plnk")
        archive.add(.file, "replaced", "x")
        archive.add(.file, ".wh.replaced")
        try fixture.unpack(archive.finished)
        #expect(fixture.attribute("trusted.overlay.opaque", of: "opaque") == [UInt8(ascii: "y")])
        #expect(fixture.kind("etc/gone") == S_IFCHR && fixture.status("etc/gone")?.st_rdev == 0)
        #expect(fixture.kind("replaced") == S_IFCHR)
        #expect(try FileContents.names(in: fixture.root) == ["etc", "opaque", "replaced"])
        // Copies into containers have no whiteouts.
        let copy = try LayerFixture()
        try copy.unpack(archive.finished, hasWhiteouts: false)
        #expect(copy.kind("etc/.wh.gone") == S_IFREG)
    }

    @Test(arguments: [".wh.", ".wh..", ".wh..."]) func whiteoutsOfNothingAreRefused(name: String) throws {
        let fixture = try LayerFixture()
        var archive = TarArchive()
        archive.add(.file, "a/" + name)
        let error = #expect(throws: SkalaError.self) { try fixture.unpack(archive.finished) }
        #expect(error?.code == .invalid)
    }

    @Test func attributesAreKeptAndOverlaysRefused() throws {
        let fixture = try LayerFixture()
        var archive = TarArchive()
        // VFS_CAP_REVISION_2, effective, CAP_NET_RAW
        let capability: [UInt8] = [1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
        archive.add(
            .file, "ping", "x",
            pax: [
                ("SCHILY.xattr.security.capability", capability), ("SCHILY.xattr.user.note", Array("n".utf8)),
                ("SCHILY.xattr.trusted.overlay.opaque", [UInt8(ascii: "y")]),
                ("SCHILY.xattr.trusted.overlay.redirect", Array("/../..".utf8)),
            ])
        try fixture.unpack(archive.finished)
        #expect(fixture.attribute("security.capability", of: "ping") == capability)
        #expect(fixture.attribute("user.note", of: "ping") == Array("n".utf8))
        #expect(fixture.attribute("trusted.overlay.opaque", of: "ping") == nil)
        #expect(fixture.attribute("trusted.overlay.redirect", of: "ping") == nil)
    }

    /// Names are bytes: a layer may hold what is no UTF-8, or what Unicode takes for the same.
    @Test func namesAreBytes() throws {
        let fixture = try LayerFixture()
        var archive = TarArchive()
        let names: [[UInt8]] = [
            [0xE9], [0xFF, 0xFE], Array("\u{E9}".utf8), Array("e\u{301}".utf8),
            Array("long\(String(repeating: "é", count: 80))".utf8),
            Array("new\nline".utf8),
        ]
        for (index, name) in names.enumerated() { archive.add(.file, name, data: [UInt8(index)]) }
        try fixture.unpack(archive.finished)
        let root = try OwnedDescriptor.open(fixture.root, O_RDONLY)
        let found = try FileContents.names(in: root.raw, "root").map { $0.dropLast().map(UInt8.init(bitPattern:)) }
        #expect(Set(found) == Set(names))
    }

    @Test func sparseFilesHaveHoles() throws {
        guard let tar = tool("tar") else { return }
        let fixture = try LayerFixture()
        let path = fixture.folder.path + "/sparse"
        let file = try OwnedDescriptor.open(path, O_RDWR | O_CREAT)
        pwrite(file.raw, "begin", 5, 0)
        pwrite(file.raw, "end", 3, 64 << 20)
        for format in ["gnu", "posix"] {
            let archive = fixture.folder.path + "/outside.tar"
            _ = try run(tar, "-C", fixture.folder.path, "--sparse", "--format", format, "-cf", archive, "sparse")
            try fixture.unpack(try FileContents.read(archive), limit: 1 << 20)
            let status = try #require(fixture.status("sparse"))
            #expect(status.st_size == 64 << 20 + 3 && status.st_blocks < 1000, "\(format)")
            #expect(try FileContents.read(fixture.root + "/sparse", limit: 1 << 27).suffix(3) == Array("end".utf8)[...])
        }
    }

    // MARK: hostile archives

    /// Folders and files outside, which an archive tries to reach.
    private func outside(_ fixture: LayerFixture) throws -> String {
        try fixture.folder.write("outside/secret", Array("secret".utf8))
        return fixture.folder.path + "/outside"
    }

    private func expectRefused(
        _ archive: TarArchive, _ fixture: LayerFixture, _ comment: Comment? = nil
    ) throws {
        let error = #expect(throws: SkalaError.self, comment) { try fixture.unpack(archive.finished) }
        #expect(error?.code == .invalid, comment)
        #expect(
            try fixture.strays == ((access(fixture.folder.path + "/outside", F_OK) == 0) ? ["secret"] : []), comment)
    }

    @Test(arguments: ["../x", "a/../../x", "/../x", "..", "a/..", "./../outside/x"])
    func pathsThatLeadOutsideAreRefused(name: String) throws {
        for kind in [TarArchive.Kind.file, .folder, .symbolicLink, .hardLink, .pipe] {
            let fixture = try LayerFixture()
            var archive = TarArchive()
            archive.add(kind, name, link: "x")
            try expectRefused(archive, fixture)
        }
    }

    @Test func absoluteNamesLieBelowTheRoot() throws {
        let fixture = try LayerFixture()
        var archive = TarArchive()
        archive.add(.file, "/etc/skala-test", "x")
        archive.add(.hardLink, "/etc/same", link: "/etc/skala-test")
        try fixture.unpack(archive.finished)
        #expect(try fixture.text("etc/same") == "x")
        #expect(access("/etc/skala-test", F_OK) != 0)
    }

    @Test func nothingIsWrittenThroughALink() throws {
        for target in ["/", "..", "../outside", "OUTSIDE"] {
            for kind in [TarArchive.Kind.file, .folder, .symbolicLink, .pipe, .characterDevice, .hardLink] {
                let fixture = try LayerFixture()
                let outside = try outside(fixture)
                var archive = TarArchive()
                archive.add(.file, "file", "x")
                archive.add(.symbolicLink, "link", link: target == "OUTSIDE" ? outside : target)
                archive.add(kind, "link/outside/x", link: "file")
                try expectRefused(archive, fixture, "\(target)")
                var direct = TarArchive()
                direct.add(.file, "file", "x")
                direct.add(.symbolicLink, "link", link: target == "OUTSIDE" ? outside : target)
                direct.add(kind, "link/new", link: "file")
                try expectRefused(direct, fixture, "\(target)")
                var hidden = TarArchive()
                hidden.add(.symbolicLink, "link", link: outside)
                hidden.add(.file, "link/.wh.secret")
                try expectRefused(hidden, fixture, "\(target)")
            }
        }
    }

    /// `/` and a combining character are one Character to Swift: the slash must be seen all the same.
    @Test func aSlashIsOneWhateverFollowsIt() throws {
        for kind in [TarArchive.Kind.file, .folder, .symbolicLink, .pipe, .hardLink] {
            let fixture = try LayerFixture()
            let outside = try outside(fixture)
            var archive = TarArchive()
            archive.add(.file, "file", "x")
            archive.add(.symbolicLink, "link", link: outside)
            archive.add(kind, "link/\u{301}x", link: "file")
            try expectRefused(archive, fixture)
        }
    }

    @Test func aFileOverALinkReplacesIt() throws {
        let fixture = try LayerFixture()
        let outside = try outside(fixture)
        var archive = TarArchive()
        archive.add(.symbolicLink, "name", link: outside + "/secret")
        archive.add(.file, "name", "mine")
        archive.add(.symbolicLink, "folder", link: outside)
        archive.add(.folder, "folder")
        archive.add(.file, "folder/x", "mine")
        try fixture.unpack(archive.finished)
        #expect(try fixture.text("name") == "mine" && fixture.text("folder/x") == "mine")
        #expect(try fixture.folder.text("outside/secret") == "secret")
        #expect(try fixture.strays == ["secret"])
    }

    @Test func hardLinksLeadToFilesOfTheArchive() throws {
        for target in ["../outside/secret", "/proc/self/exe", "missing", "link/secret", "folder", "/", ""] {
            let fixture = try LayerFixture()
            let outside = try outside(fixture)
            var archive = TarArchive()
            archive.add(.folder, "folder")
            archive.add(.symbolicLink, "link", link: outside)
            archive.add(.hardLink, "stolen", link: target)
            try expectRefused(archive, fixture, "\(target)")
            #expect(fixture.kind("stolen") == nil)
        }
        let fixture = try LayerFixture()
        var archive = TarArchive()
        archive.add(.file, "a", "x")
        archive.add(.hardLink, "a", link: "a")
        try fixture.unpack(archive.finished)
        #expect(try fixture.text("a") == "x")
    }

    @Test func aHardLinkToALinkLinksTheLink() throws {
        let fixture = try LayerFixture()
        let outside = try outside(fixture)
        var archive = TarArchive()
        archive.add(.symbolicLink, "link", link: outside + "/secret")
        archive.add(.hardLink, "hard", link: "link")
        try fixture.unpack(archive.finished)
        #expect(fixture.kind("hard") == S_IFLNK)
    }

    @Test func bombsAreRefused() throws {
        let fixture = try LayerFixture()
        var archive = TarArchive()
        archive.add(.file, Array("zeros".utf8), data: [UInt8](repeating: 0, count: 200_000), size: 200_000)
        let error = #expect(throws: SkalaError.self) { try fixture.unpack(archive.finished, limit: 100_000) }
        #expect(error?.code == .invalid && error?.message.contains("unpacks to more than 100kB") == true)
        guard let gzip = tool("gzip") else { return }
        let path = try fixture.folder.write("bomb", [UInt8](repeating: 0, count: 4 << 20))
        _ = try run(gzip, "-k", path)
        let bomb = try FileContents.read(path + ".gz")
        #expect(bomb.count < 10_000)
        let gzipped = #expect(throws: SkalaError.self) { try fixture.unpack(bomb, limit: 1 << 20) }
        #expect(gzipped?.code == .invalid)
    }

    @Test func truncatedArchivesAreRefused() throws {
        var archive = TarArchive()
        archive.add(.file, "a", String(repeating: "x", count: 5000))
        archive.add(.file, "b", String(repeating: "y", count: 5000))
        for length in [1, 100, 511, 513, 3000, 5700, 6300, 9000] {
            let fixture = try LayerFixture()
            let error = #expect(throws: SkalaError.self, "\(length)") {
                try fixture.unpack(Array(archive.bytes.prefix(length)))
            }
            #expect(error?.code == .invalid)
        }
    }

    @Test func rubbishIsRefused() throws {
        var random = SeededRandom(seed: 3)
        let fixture = try LayerFixture()
        #expect(throws: SkalaError.self) { try fixture.unpack(random.bytes(10_000)) }
        #expect(throws: SkalaError.self) { try fixture.unpack(Array("no archive at all".utf8)) }
        // An empty layer is one.
        try fixture.unpack([UInt8](repeating: 0, count: 1024))
        try fixture.unpack([])
    }

    @Test func copiesMayNotReplaceFolders() throws {
        let fixture = try LayerFixture()
        var first = TarArchive()
        first.add(.folder, "folder")
        first.add(.file, "file", "x")
        try fixture.unpack(first.finished)
        for (kind, name) in [(TarArchive.Kind.file, "folder"), (.folder, "file")] {
            var second = TarArchive()
            second.add(kind, name)
            #expect(throws: SkalaError.self) { try fixture.unpack(second.finished, replacesDirectories: false) }
        }
        #expect(fixture.kind("folder") == S_IFDIR && fixture.kind("file") == S_IFREG)
    }
}
