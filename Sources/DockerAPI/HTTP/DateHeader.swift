import Base
import Glibc
import Kernel
import Synchronization

/// The `Date` header (RFC 9110, section 6.6.1), written once a second at most.
final class DateHeader: Sendable {
    private struct Written {
        var second: Int64 = .min
        var line: [UInt8] = []
    }

    private let written = Mutex(Written())

    /// The line for now, with its CRLF.
    var line: [UInt8] {
        let second = SystemClock.now().seconds
        return written.withLock { written in
            if written.second != second {
                written.second = second
                written.line = Array("Date: \(DateHeader.text(second))\r\n".utf8)
            }
            return written.line
        }
    }

    /// Seconds since 1970 in the form `Sun, 06 Nov 1994 08:49:37 GMT`, whatever the locale.
    static func text(_ second: Int64) -> String {
        var time = time_t(second)
        var parts = tm()
        gmtime_r(&time, &parts)
        let day = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"][Int(parts.tm_wday)]
        let month = [
            "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
        ][Int(parts.tm_mon)]
        func two(_ number: Int32) -> String { number < 10 ? "0\(number)" : "\(number)" }
        return "\(day), \(two(parts.tm_mday)) \(month) \(1900 + parts.tm_year) "
            + "\(two(parts.tm_hour)):\(two(parts.tm_min)):\(two(parts.tm_sec)) GMT"
    }
}
