import Archives
import Base
import CLinux
import Glibc
import Kernel
import TestSupport
import Testing

@testable import Images

/// Layers that were tampered with: refused or unpacked, nothing reaches outside.
@Suite(.enabled(if: getuid() == 0, "needs root"), .timeLimit(.minutes(60))) struct ArchiveFuzzTests {
    private static let sample: [UInt8] = {
        var archive = TarArchive()
        archive.add(.folder, "etc")
        archive.add(.file, "etc/passwd", "root:x:0:0::/root:/bin/sh\n", pax: [("SCHILY.xattr.user.a", [1])])
        archive.add(.symbolicLink, "link", link: "../outside")
        archive.add(.hardLink, "etc/same", link: "etc/passwd")
        archive.add(.file, "link2/.wh.gone")
        archive.add(.file, "link2/.wh..wh..opq")
        archive.add(.pipe, "pipe")
        archive.add(.symbolicLink, "link/x", link: "y")
        archive.add(.file, String(repeating: "long/", count: 40) + "name", "x")
        return archive.finished
    }()

    /// Changes names, links, kinds and sizes in headers, whose sums are made right again, so that the reader goes on.
    private func tampered(_ random: inout SeededRandom) -> [UInt8] {
        var bytes = ArchiveFuzzTests.sample
        let words = [
            "..", "../outside", "/", "link", "link/secret", "etc", ".wh.secret", ".", "", "\u{301}x", "link/\u{301}x",
            "a/../b",
        ]
        for _ in 0...random.below(4) {
            let header = random.below(bytes.count / 512) * 512
            guard bytes[header + 257..<header + 262].elementsEqual("ustar".utf8) else { continue }
            switch random.below(5) {
            case 0, 1:
                let field = header + (random.below(2) == 0 ? 0 : 157)
                let word = Array(random.pick(words).utf8)
                bytes.replaceSubrange(field..<field + 100, with: word + [UInt8](repeating: 0, count: 100 - word.count))
            case 2: bytes[header + 156] = random.pick(Array("01234567xgLKSV".utf8))
            case 3:
                bytes.replaceSubrange(
                    header + 124..<header + 135, with: random.pick(["00000000000", "00000001000", "77777777777"]).utf8)
            default: bytes[header + random.below(512)] = UInt8(truncatingIfNeeded: random.next())
            }
            var sum = 8 * 0x20
            for index in 0..<512 where !(148..<156).contains(index) { sum += Int(bytes[header + index]) }
            let digits = String(sum, radix: 8)
            bytes.replaceSubrange(
                header + 148..<header + 156,
                with: Array((String(repeating: "0", count: 6 - digits.count) + digits + "\u{0} ").utf8))
        }
        return random.below(4) == 0 ? random.mutate(bytes) : bytes
    }

    @Test func layers() async throws {
        try await unpacked("layers") { file, folder in
            let reader = try ArchiveReader(descriptor: file, limit: 1 << 20)
            var unpacker = LayerUnpacker(folder: folder)
            try unpacker.unpack(reader)
            _ = try reader.finish()
        }
    }

    /// The same for the reader that VMs have.
    @Test func copies() async throws {
        try await unpacked("copies") { file, folder in
            var unpacker = LayerUnpacker(folder: folder, hasWhiteouts: false)
            try unpacker.unpack(TarReader(descriptor: file))
        }
    }

    private func unpacked(_ name: String, _ unpack: (Int32, OwnedDescriptor) throws -> Void) async throws {
        let folder = try TemporaryFolder(isInMemory: true)
        try folder.write("outside/secret", Array("secret".utf8))
        let root = folder.path + "/root"
        let archive = folder.path + "/layer"
        var good = 0
        try await Fuzz.run(name) { random in
            try FileContents.overwrite(archive, with: tampered(&random))
            try FileContents.makeDirectories(root)
            let file = try OwnedDescriptor.open(archive, O_RDONLY)
            do {
                try unpack(file.raw, try OwnedDescriptor.open(root, O_RDONLY | CL_O_DIRECTORY))
                good += 1
            } catch let error as SkalaError {
                _ = error.message  // refused
            }
            try FileContents.removeTree(root)
            let names = try FileContents.names(in: folder.path) + FileContents.names(in: folder.path + "/outside")
            guard names == ["layer", "outside", "secret"], try folder.text("outside/secret") == "secret" else {
                throw FuzzTests.Differs(description: "something was written outside: \(names)")
            }
        }
        #expect(good > 0 || Fuzz.isOneRound)
    }
}
