import Glibc
import Kernel
import TestSupport
import Testing

@testable import Machines

struct CPIOArchiveTests {
    /// The kernel's own format, read by the program others use for it.
    @Test func isReadByCpio() throws {
        var archive = CPIOArchive()
        archive.addDirectory("dev")
        archive.addFile("init", Array("#!/bin/sh\n".utf8), isExecutable: true)
        archive.addFile("empty", [])
        archive.addCharacterDevice("dev/console", major: 5, minor: 1)
        archive.finish()
        #expect(archive.bytes.count % 4 == 0)
        guard let cpio = Subprocess.find("cpio", path: "/usr/bin:/bin") else {
            return print("SKIP: cpio: not installed")
        }
        let listing = try Subprocess.output([cpio, "-itv", "--quiet"], input: archive.bytes, limit: 4096)
        let lines = listing.split(separator: "\n")
        #expect(lines.count == 4)
        #expect(lines[0].hasPrefix("drwxr-xr-x") && lines[1].hasPrefix("-rwxr-xr-x"))
        #expect(lines[3].hasPrefix("crw-") && lines[3].contains("5,   1"))
    }
}
