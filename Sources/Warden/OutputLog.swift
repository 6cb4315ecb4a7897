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
        let index = Int(channel) - 1
        var output: [UInt8] = []
        output.reserveCapacity(bytes.count + bytes.count / 2 + 128)
        var start = 0
        let time = Array(SystemClock.now().text.utf8)
        while start < bytes.count {
            if maximumBytes > 0, size + Int64(output.count) >= maximumBytes {
                flush(output)
                output.removeAll(keepingCapacity: true)
            }
            let room = OutputLog.longestLine - partial[index].count
            let end = min(bytes.count, start + room)
            let slice = UnsafeBufferPointer(rebasing: bytes[start..<end])
            if let newline = slice.firstIndex(of: 0x0A) {
                let line = UnsafeBufferPointer(rebasing: slice[...newline])
                write(partial[index], line, channel, time, to: &output)
                partial[index].removeAll(keepingCapacity: true)
                start += newline + 1
            } else if end - start == room {
                write(partial[index], slice, channel, time, to: &output)
                partial[index].removeAll(keepingCapacity: true)
                start = end
            } else {
                partial[index].append(contentsOf: slice)
                start = end
            }
        }
        flush(output)
    }

    /// Writes incomplete lines out: the process has ended.
    func finish() {
        var output: [UInt8] = []
        let time = Array(SystemClock.now().text.utf8)
        for index in 0..<2 where !partial[index].isEmpty {
            write(partial[index], UnsafeBufferPointer(start: nil, count: 0), UInt8(index + 1), time, to: &output)
            partial[index] = []
        }
        flush(output)
    }

    private func write(
        _ first: [UInt8], _ second: UnsafeBufferPointer<UInt8>, _ channel: UInt8, _ time: [UInt8],
        to output: inout [UInt8]
    ) {
        output.append(contentsOf: #"{"log":""#.utf8)
        var line = first
        line.append(contentsOf: second)
        // Bytes that are no UTF-8 become the replacement character: JSON is UTF-8.
        if line.allSatisfy({ $0 < 0x80 }) {
            line.withUnsafeBufferPointer { JSON.writeEscaped($0, to: &output) }
        } else {
            var text = String(decoding: line, as: UTF8.self)
            text.withUTF8 { JSON.writeEscaped($0, to: &output) }
        }
        output.append(
            contentsOf: channel == 1 ? #"","stream":"stdout","time":""#.utf8 : #"","stream":"stderr","time":""#.utf8)
        output.append(contentsOf: time)
        output.append(contentsOf: "\"}\n".utf8)
    }

    private func flush(_ output: [UInt8]) {
        guard !output.isEmpty else { return }
        if maximumBytes > 0, size > 0, size + Int64(output.count) > maximumBytes { rotate() }
        var written = 0
        while written < output.count {
            let count = output[written...].withUnsafeBytes { Glibc.write(file.raw, $0.baseAddress, $0.count) }
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
        guard let next = try? OutputLog.open(path) else { return }
        file = next
        size = 0
    }
}
