import CLinux
import Glibc

/// The threads of a process in a namespace of its own.
public enum ProcessThreads {
    /// By their ids there, those here.
    public static func numbers(of pid: Int32) throws(KernelError) -> [Int64: Int32] {
        var numbers: [Int64: Int32] = [:]
        for name in try FileContents.names(in: "/proc/\(pid)/task") {
            // It may end at this moment.
            guard let number = Int32(name), let bytes = try? FileContents.read("/proc/\(pid)/task/\(name)/status")
            else {
                continue
            }
            let lines = String(decoding: bytes, as: UTF8.self).split(separator: "\n")
            let ids = lines.first { $0.hasPrefix("NSpid:") }?.split(whereSeparator: \.isWhitespace)
            if let inside = ids?.last.flatMap({ Int64($0) }) { numbers[inside] = number }
        }
        return numbers
    }

    /// Lets a thread run on one core only.
    public static func pin(_ thread: Int32, to core: Int) throws(KernelError) {
        try check(cl_pin_thread(thread, UInt32(core)), "sched_setaffinity", "thread \(thread)")
    }
}
