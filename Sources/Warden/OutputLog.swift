import Base
import CLinux
import Glibc
import Kernel

/// A container's log: Docker's json-file format, one object a line, rotated by size.
final class OutputLog {
    /// A line longer than this is split, as Docker does.
    private static let longestLine = 16384

    private let file: RotatedFile
    /// Written when the output is complete: the log is on its way to the host. Empty on the host.
    private var end: [UInt8]
    /// Incomplete lines of stdout and stderr.
    private var partial: [[UInt8]] = [[], []]

    /// `io.log` of the protocol.
    init(_ json: JSON) throws {
        file = try RotatedFile(json)
        end = json["end"].string.map { Array(RelayedLog.endLine($0).utf8) } ?? []
    }

    /// The container has another name from now on.
    func rename(_ name: String) { if !end.isEmpty { end = Array(RelayedLog.endLine(name).utf8) } }

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
        if !end.isEmpty { end.withUnsafeBufferPointer(file.append) }
    }

    private func writePartial(_ channel: UInt8, _ output: inout LogEntries) {
        partial[Int(channel) - 1].withUnsafeBufferPointer { write($0, channel, &output) }
        partial[Int(channel) - 1].removeAll(keepingCapacity: true)
    }

    private func write(_ line: UnsafeBufferPointer<UInt8>, _ channel: UInt8, _ output: inout LogEntries) {
        let isFileFull = file.maximumBytes > 0 && file.size + Int64(output.count) >= file.maximumBytes
        if isFileFull || !output.hasRoom(for: line.count) { flush(&output) }
        output.add(line, channel: channel)
    }

    private func flush(_ output: inout LogEntries) {
        guard output.count > 0 else { return }
        file.append(output.bytes)
        output.removeAll()
    }
}
