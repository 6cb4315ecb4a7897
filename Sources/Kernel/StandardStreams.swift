import Glibc

/// Standard output and error without C's `stdout` and `stderr`, which Swift 6 takes for unsafe shared state.
public enum StandardStreams {
    public static func output(_ text: String) { write(1, Array(text.utf8)) }
    public static func error(_ text: String) { write(2, Array(text.utf8)) }

    /// Writes all bytes; a reader that has gone is no error of ours.
    public static func write(_ descriptor: Int32, _ bytes: [UInt8]) {
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { return }
            rest = rest.dropFirst(count)
        }
    }
}
