import Base
import Glibc

/// The daemon's log: one line a message on standard error, where systemd's journal takes it.
///
/// What a message is about stands beside it in fields, so that a program finds it: `service`, `task`, `container`, `vm`,
/// `network`, `request`, `error`.
public struct Log: Sendable {
    public enum Level: String, Sendable, Comparable, CaseIterable {
        case debug, info, warning, error

        public static func < (a: Level, b: Level) -> Bool { a.order < b.order }

        private var order: Int { Level.allCases.firstIndex(of: self) ?? 0 }
    }

    public enum Format: String, Sendable, CaseIterable {
        /// `2026-01-02T03:04:05Z info: message service=web`
        case text
        /// `{"time":"…","level":"info","message":"…","service":"web"}`
        case json
    }

    public typealias Fields = KeyValuePairs<String, String>

    public let level: Level
    public let format: Format

    public init(level: Level = .info, format: Format = .text) {
        self.level = level
        self.format = format
    }

    public func debug(_ message: @autoclosure () -> String, _ fields: @autoclosure () -> Fields = [:]) {
        write(.debug, message, fields)
    }

    public func info(_ message: @autoclosure () -> String, _ fields: @autoclosure () -> Fields = [:]) {
        write(.info, message, fields)
    }

    public func warning(_ message: @autoclosure () -> String, _ fields: @autoclosure () -> Fields = [:]) {
        write(.warning, message, fields)
    }

    public func error(_ message: @autoclosure () -> String, _ fields: @autoclosure () -> Fields = [:]) {
        write(.error, message, fields)
    }

    private func write(_ level: Level, _ message: () -> String, _ fields: () -> Fields) {
        guard level >= self.level else { return }
        let line = Array((line(level, message(), fields(), at: SystemClock.now()) + "\n").utf8)
        _ = line.withUnsafeBytes { Glibc.write(2, $0.baseAddress, $0.count) }
    }

    /// Without its end.
    func line(_ level: Level, _ message: String, _ fields: Fields, at time: Timestamp) -> String {
        switch format {
        case .json:
            var members: [(String, JSON)] = [
                ("time", JSON(time.text)), ("level", JSON(level.rawValue)), ("message", JSON(message)),
            ]
            members += fields.map { ($0.key, JSON($0.value)) }
            return JSON.object(JSONObject(members)).text
        case .text:
            // A message over several lines would be taken for several.
            let line = message.split(separator: "\n").joined(separator: " ")
            return "\(time.text) \(level.rawValue): \(line)"
                + fields.map { " \($0.key)=\(Log.quoted($0.value))" }.joined()
        }
    }

    /// As it is, or, when one could not see where it ends, as a JSON text.
    private static func quoted(_ value: String) -> String {
        let isPlain =
            !value.isEmpty
            && value.unicodeScalars.allSatisfy { $0.value > 0x20 && !"\"=\\\u{7F}".unicodeScalars.contains($0) }
        return isPlain ? value : JSON(value).text
    }
}
