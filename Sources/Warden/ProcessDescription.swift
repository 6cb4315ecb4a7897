import Base
import Glibc
import Kernel

/// What the kernel tells of a process: what `ps -ef` shows.
enum ProcessDescription {
    /// Bytes of a command line that are told.
    private static let commandLimit = 4096

    /// `{pid, parent, user, terminal, started, time, command}`, times in nanoseconds; nil when the process has ended.
    static func json(_ pid: Int32) -> JSON? {
        var status = stat()
        // A process may end at any moment: then one of these fails, and it is not shown.
        guard stat("/proc/\(pid)", &status) == 0, let text = try? SmallFile.text("/proc/\(pid)/stat"),
            let line = try? SmallFile.read("/proc/\(pid)/cmdline", limit: commandLimit),
            let open = text.firstIndex(of: "("), let close = text.lastIndex(of: ")"), open < close
        else { return nil }
        // From the third field of proc_pid_stat(5) on; the second may hold anything.
        let fields = text[text.index(after: close)...].split(separator: " ").map { Int64($0) ?? 0 }
        guard fields.count > 19 else { return nil }
        let ticks = Int64(max(1, sysconf(Int32(_SC_CLK_TCK))))
        let words = line.prefix(commandLimit).split(separator: 0).map { String(decoding: $0, as: UTF8.self) }
        let name = "[\(text[text.index(after: open)..<close])]"
        return [
            "pid": JSON(pid), "parent": JSON(fields[1]), "user": JSON(status.st_uid),
            "terminal": JSON(terminal(UInt32(truncatingIfNeeded: fields[4]))),
            "started": JSON(bootTime + fields[19] * (1_000_000_000 / ticks)),
            "time": JSON((fields[11] + fields[12]) * (1_000_000_000 / ticks)),
            "command": JSON(words.isEmpty ? name : words.joined(separator: " ")),
        ]
    }

    private static var bootTime: Int64 {
        var sinceBoot = timespec()
        clock_gettime(CLOCK_BOOTTIME, &sinceBoot)
        return SystemClock.now().nanoseconds - Int64(sinceBoot.tv_sec) * 1_000_000_000 - Int64(sinceBoot.tv_nsec)
    }

    /// `?` without one.
    private static func terminal(_ number: UInt32) -> String {
        let (major, minor) = (number >> 8 & 0xFFF, number & 0xFF | number >> 12 & 0xFFF00)
        switch major {
        case 136...143: return "pts/\((major - 136) << 8 + minor)"
        case 4 where minor >= 64: return "ttyS\(minor - 64)"
        case 4: return "tty\(minor)"
        case 5 where minor == 1: return "console"
        default: return "?"
        }
    }
}
