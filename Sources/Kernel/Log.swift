import Base
import Glibc

/// The daemon's log: one line a message on standard error, where systemd's journal takes it.
public struct Log: Sendable {
    public enum Level: Int, Sendable, Comparable {
        case debug, info, warning, error
        public static func < (a: Level, b: Level) -> Bool { a.rawValue < b.rawValue }
    }

    public let level: Level

    public init(level: Level = .info) { self.level = level }

    public func debug(_ message: @autoclosure () -> String) { write(.debug, "debug", message) }
    public func info(_ message: @autoclosure () -> String) { write(.info, "info", message) }
    public func warning(_ message: @autoclosure () -> String) { write(.warning, "warning", message) }
    public func error(_ message: @autoclosure () -> String) { write(.error, "error", message) }

    private func write(_ level: Level, _ name: String, _ message: () -> String) {
        guard level >= self.level else { return }
        // A message over several lines would be taken for several.
        let line = message().split(separator: "\n").joined(separator: " ")
        let text = Array("\(SystemClock.now().text) \(name): \(line)\n".utf8)
        _ = text.withUnsafeBytes { Glibc.write(2, $0.baseAddress, $0.count) }
    }
}
