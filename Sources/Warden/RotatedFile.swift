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
    /// Its last entry is cut off.
    private var isTorn = false

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
    ///
    /// A full disk loses entries, but must not stop the container, nor spoil the entries that follow when there is room.
    func append(_ bytes: UnsafeBufferPointer<UInt8>) {
        if maximumBytes > 0, size > 0, size + Int64(bytes.count) > maximumBytes { rotate() }
        if isTorn {
            isTorn = withUnsafeBytes(of: RotatedFile.newline) { write($0.bindMemory(to: UInt8.self)) } == 0
            if isTorn { return }
        }
        let written = write(bytes)
        isTorn = written > 0 && written < bytes.count && bytes[written - 1] != RotatedFile.newline
    }

    private static let newline = UInt8(ascii: "\n")

    /// - Returns: how much of it there was room for.
    private func write(_ bytes: UnsafeBufferPointer<UInt8>) -> Int {
        var written = 0
        while written < bytes.count {
            let count = Glibc.write(file.raw, bytes.baseAddress.map { $0 + written }, bytes.count - written)
            if count < 0, errno == EINTR { continue }
            if count <= 0 { break }
            written += count
        }
        size += Int64(written)
        return written
    }

    private func rotate() {
        if maximumFiles == 1 {
            if ftruncate(file.raw, 0) == 0 { (size, isTorn) = (0, false) }
            return
        }
        for number in stride(from: maximumFiles - 2, through: 1, by: -1) {
            rename("\(path).\(number)", "\(path).\(number + 1)")
        }
        rename(path, path + ".1")
        // Without a new file the old one goes on.
        guard let next = try? RotatedFile.open(path) else { return }
        file = next
        (size, isTorn) = (0, false)
    }
}
