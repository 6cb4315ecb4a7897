import CLinux
import Glibc

/// Whole small files: those of /proc, /sys and cgroups.
public enum SmallFile {
    /// The content, at most `limit` bytes of it.
    public static func read(_ path: String, limit: Int = 4 << 20) throws(KernelError) -> [UInt8] {
        let file = try OwnedDescriptor.open(path, O_RDONLY)
        var content: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 16384)
        while content.count < limit {
            let count = try checkErrno(Glibc.read(file.raw, &chunk, chunk.count), "read", path)
            if count == 0 { break }
            content.append(contentsOf: chunk[..<count])
        }
        return content
    }

    public static func text(_ path: String, limit: Int = 4 << 20) throws(KernelError) -> String {
        String(decoding: try read(path, limit: limit), as: UTF8.self)
    }

    /// Writes to an existing file in one call, as the kernel's control files want it.
    public static func write(_ text: String, to path: String) throws(KernelError) {
        let file = try OwnedDescriptor.open(path, O_WRONLY)
        var text = text
        let result = text.withUTF8 { Glibc.write(file.raw, $0.baseAddress, $0.count) }
        try checkErrno(result, "write '\(text)' to", path)
    }
}
