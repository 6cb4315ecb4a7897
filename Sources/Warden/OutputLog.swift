import Base
import CLinux
import Glibc
import Kernel

/// A container's log: Docker's json-file format, one object a line, rotated by size.
///
/// Writes are made at once, so that the file is complete whenever the process that wrote is gone.
final class OutputLog {
    /// A line longer than this is split, as Docker does.
    private static let longestLine = 16384

    private let path: String
    private let maximumBytes: Int64
    private let maximumFiles: Int
    private var file: OwnedDescriptor
    private var size: Int64
    /// Incomplete lines of stdout and stderr.
    private var partial: [[UInt8]] = [[], []]

    /// `io.log` of the protocol.
    init(_ json: JSON) throws {
        guard let path = json["path"].string, path.hasPrefix("/"), !path.utf8.contains(0) else {
            throw SkalaError(.invalid, "io.log.path is not an absolute path")
        }
        self.path = path
        maximumBytes = json["maximumBytes"].int ?? 0
        maximumFiles = Int(max(1, min(json["maximumFiles"].int ?? 1, 1000)))
        file = try OutputLog.open(path)
        size = Int64(lseek(file.raw, 0, SEEK_END))
    }

    private static func open(_ path: String) throws(KernelError) -> OwnedDescriptor {
        try .open(path, O_WRONLY | O_CREAT | O_APPEND | CL_O_NOFOLLOW, mode: 0o640)
    }

    /// Adds output of channel 1 (stdout) or 2 (stderr).
    func append(_ bytes: UnsafeBufferPointer<UInt8>, channel: UInt8) {
        guard let base = bytes.baseAddress else { return }
        var output = LogEntries(time: SystemClock.now())
        defer { output.free() }
        var rest = UnsafeBufferPointer(start: base, count: bytes.count)
        while let start = rest.baseAddress, !rest.isEmpty {
            let pending = partial[Int(channel) - 1].count
            let window = min(rest.count, OutputLog.longestLine - pending)
            let newline = memchr(start, 0x0A, window)
            let length = newline.map { UnsafeRawPointer($0) - UnsafeRawPointer(start) + 1 } ?? window
            let piece = UnsafeBufferPointer(rebasing: rest[..<length])
            rest = UnsafeBufferPointer(rebasing: rest[length...])
            if newline == nil, pending + length < OutputLog.longestLine {
                partial[Int(channel) - 1].append(contentsOf: piece)
            } else if pending == 0 {
                write(piece, channel, &output)
            } else {
                partial[Int(channel) - 1].append(contentsOf: piece)
                writePartial(channel, &output)
            }
        }
        flush(&output)
    }

    /// Writes incomplete lines out: the process has ended.
    func finish() {
        var output = LogEntries(time: SystemClock.now())
        defer { output.free() }
        for channel: UInt8 in [1, 2] where !partial[Int(channel) - 1].isEmpty { writePartial(channel, &output) }
        flush(&output)
    }

    private func writePartial(_ channel: UInt8, _ output: inout LogEntries) {
        partial[Int(channel) - 1].withUnsafeBufferPointer { write($0, channel, &output) }
        partial[Int(channel) - 1].removeAll(keepingCapacity: true)
    }

    private func write(_ line: UnsafeBufferPointer<UInt8>, _ channel: UInt8, _ output: inout LogEntries) {
        let isFileFull = maximumBytes > 0 && size + Int64(output.count) >= maximumBytes
        if isFileFull || !output.hasRoom(for: line.count) { flush(&output) }
        output.add(line, channel: channel)
    }

    private func flush(_ output: inout LogEntries) {
        guard output.count > 0 else { return }
        if maximumBytes > 0, size > 0, size + Int64(output.count) > maximumBytes { rotate() }
        let bytes = output.bytes
        var written = 0
        while written < bytes.count {
            let count = Glibc.write(file.raw, bytes.baseAddress.map { $0 + written }, bytes.count - written)
            if count < 0, errno == EINTR { continue }
            // A full disk loses log lines; it must not stop the container.
            if count <= 0 { break }
            written += count
        }
        size += Int64(written)
        output.removeAll()
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
        guard let next = try? OutputLog.open(path) else { return }
        file = next
        size = 0
    }
}
