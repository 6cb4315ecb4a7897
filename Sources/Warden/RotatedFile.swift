import Base
import CLinux
import Glibc
import Kernel

/// The file of a log, which others replace when it has reached its size: `path`, then `path.1`, … up to a number of files.
///
/// Writes are made at once, so that the file is complete whenever the process that wrote is gone.
final class RotatedFile {
    private let path: String
    /// Bytes; 0 is no limit.
    let maximumBytes: Int64
    private let maximumFiles: Int
    private var file: OwnedDescriptor
    private(set) var size: Int64

    /// `io.log` of the protocol.
    init(_ json: JSON) throws {
        guard let path = json["path"].string, path.hasPrefix("/"), !path.utf8.contains(0) else {
            throw SkalaError(.invalid, "io.log.path is not an absolute path")
        }
        self.path = path
        maximumBytes = json["maximumBytes"].int ?? 0
        maximumFiles = Int(max(1, min(json["maximumFiles"].int ?? 1, 1000)))
        file = try RotatedFile.open(path)
        size = Int64(lseek(file.raw, 0, SEEK_END))
    }

    private static func open(_ path: String) throws(KernelError) -> OwnedDescriptor {
        try .open(path, O_WRONLY | O_CREAT | O_APPEND | CL_O_NOFOLLOW, mode: 0o640)
    }

    /// Adds whole entries; before that the file is rotated when they would make it too long.
    func append(_ bytes: UnsafeBufferPointer<UInt8>) {
        if maximumBytes > 0, size > 0, size + Int64(bytes.count) > maximumBytes { rotate() }
        var written = 0
        while written < bytes.count {
            let count = Glibc.write(file.raw, bytes.baseAddress.map { $0 + written }, bytes.count - written)
            if count < 0, errno == EINTR { continue }
            // A full disk loses log lines; it must not stop the container.
            if count <= 0 { break }
            written += count
        }
        size += Int64(written)
    }

    private func rotate() {
        if maximumFiles == 1 {
            if ftruncate(file.raw, 0) == 0 { size = 0 }
            return
        }
        for number in stride(from: maximumFiles - 2, through: 1, by: -1) {
            rename("\(path).\(number)", "\(path).\(number + 1)")
        }
        rename(path, path + ".1")
        // Without a new file the old one goes on.
        guard let next = try? RotatedFile.open(path) else { return }
        file = next
        size = 0
    }
}
