import Glibc
import Kernel

/// What this process uses, under the names that Prometheus' own libraries use.
struct ProcessUsage {
    let cpuSeconds: Double
    let residentBytes: Int64
    let virtualBytes: Int64
    let openDescriptors: Int64
    let maximumDescriptors: Int64
    let threads: Int64

    init() {
        var usage = rusage()
        getrusage(RUSAGE_SELF.rawValue, &usage)
        func seconds(_ time: timeval) -> Double { Double(time.tv_sec) + Double(time.tv_usec) / 1e6 }
        cpuSeconds = seconds(usage.ru_utime) + seconds(usage.ru_stime)
        // Of /proc, which is always there; 0 where it is not.
        let pages = ((try? SmallFile.text("/proc/self/statm")) ?? "").split(separator: " ").compactMap { Int64($0) }
        let pageSize = Int64(sysconf(Int32(_SC_PAGESIZE)))
        virtualBytes = (pages.first ?? 0) * pageSize
        residentBytes = (pages.dropFirst().first ?? 0) * pageSize
        openDescriptors = Int64((try? FileContents.names(in: "/proc/self/fd").count) ?? 0)
        threads = Int64((try? FileContents.names(in: "/proc/self/task").count) ?? 0)
        var limit = rlimit()
        getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        maximumDescriptors = Int64(clamping: limit.rlim_cur)
    }
}
