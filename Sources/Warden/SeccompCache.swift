import Base
import Glibc
import Kernel

/// Compiled filters in files, for the command line: compiling Docker's default profile takes longer than all else that a
/// container's start does.
///
/// A file holds the whole profile it was made from, so that a hash shared by two can do no harm. The folder must be the
/// runtime's own: who writes there decides what containers may call.
struct SeccompCache {
    /// Files kept; a folder with more is emptied.
    private static let maximumCount = 64
    private static let format = "skala seccomp 1 "

    let folder: String

    /// The compiled filter of a profile, nil when none is known.
    func load(_ key: String) throws -> SeccompFilter? {
        // No such file: nobody compiled it yet.
        guard let content = try? SmallFile.read(path(key)) else { return nil }
        let header = header(key)
        // The flags stand between the header and the program.
        guard content.starts(with: header), content.count > header.count + 8, (content.count - header.count) % 8 == 0
        else { return nil }
        let flags = content[header.count..<header.count + 4].reversed().reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
        return SeccompFilter(bytes: Array(content[(header.count + 8)...]), flags: flags)
    }

    /// Keeps a filter; where that fails the next process compiles it again.
    func store(_ filter: SeccompFilter, _ key: String) {
        let path = path(key)
        guard access(path, F_OK) != 0 else { return }
        if mkdir(folder, 0o700) != 0, errno != EEXIST { return }
        if let names = try? FileContents.names(in: folder), names.count >= SeccompCache.maximumCount {
            for name in names { unlink(folder + "/" + name) }
        }
        let flags = (0..<8).map { $0 < 4 ? UInt8(truncatingIfNeeded: filter.flags >> UInt32(8 * $0)) : 0 }
        let temporary = "\(path).\(getpid())"
        // O_EXCL: nobody else's file.
        guard let file = try? OwnedDescriptor.open(temporary, O_WRONLY | O_CREAT | O_EXCL) else { return }
        let content = header(key) + flags + filter.bytes
        let count = content.withUnsafeBytes { write(file.raw, $0.baseAddress, $0.count) }
        if count != content.count || rename(temporary, path) != 0 { unlink(temporary) }
    }

    /// The architecture is part of it: the folder may lie on a disk that another machine reads.
    private func header(_ key: String) -> [UInt8] {
        Array("\(SeccompCache.format)\(HostFacts.architecture) \(key.utf8.count)\n\(key)\n".utf8)
    }

    /// FNV-1a, which only has to spread.
    private func path(_ key: String) -> String {
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325
        for byte in key.utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3 }
        return folder + "/" + String(hash, radix: 16)
    }
}
