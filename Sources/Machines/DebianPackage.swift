import Base
import Glibc
import Images
import Kernel

/// A Debian binary package (deb(5)): an `ar` archive with the files in `data.tar`.
struct DebianPackage {
    private let path: String

    init(_ path: String) { self.path = path }

    /// Calls `body` with each regular file's path, without `./`, and a way to read it.
    ///
    /// - Throws: `.invalid` naming the file when it is no package.
    func eachFile(_ body: (String, () throws -> [UInt8]) throws -> Void) throws {
        let file = try OwnedDescriptor.open(path, O_RDONLY)
        try seekToData(file.raw)
        try TarFiles.each(descriptor: file.raw, limit: 4 << 30, body)
    }

    /// Positions at the content of `data.tar.*`, which is the last member.
    private func seekToData(_ file: Int32) throws {
        let invalid = SkalaError(.invalid, "\(path) is not a Debian package")
        var magic = [UInt8](repeating: 0, count: 8)
        guard read(file, &magic, 8) == 8, magic.elementsEqual("!<arch>\n".utf8) else { throw invalid }
        // Members: name (16), time (12), owner (6), group (6), mode (8), size (10), end (2); padded to even lengths.
        var header = [UInt8](repeating: 0, count: 60)
        while read(file, &header, 60) == 60 {
            let name = String(decoding: header[0..<16], as: UTF8.self)
            if name.hasPrefix("data.tar") { return }
            let size = String(decoding: header[48..<58].prefix { $0 != 0x20 }, as: UTF8.self)
            guard let size = Int(size), size >= 0, lseek(file, size + size % 2, SEEK_CUR) > 0 else { throw invalid }
        }
        throw invalid
    }
}
