import Glibc
import CSeccomp
import CLinux

/// What the host is: read once, or each time where it changes.
public enum HostFacts {
    public static let onlineCPUs = max(1, Int(sysconf(Int32(_SC_NPROCESSORS_ONLN))))
    /// As `0-3`; of /sys, or made of the count where that is missing.
    public static var onlineCPUList: String {
        let list = text("/sys/devices/system/cpu/online").filter { !$0.isWhitespace }
        return list.isEmpty ? "0-\(onlineCPUs - 1)" : list
    }
    public static let memoryBytes = Int64(sysconf(Int32(_SC_PHYS_PAGES))) * Int64(sysconf(Int32(_SC_PAGESIZE)))

    /// Time all CPUs have spent since boot, in nanoseconds: the scale `docker stats` relates a container's CPU time to.
    public static func cpuNanoseconds() -> Int64 {
        guard let line = text("/proc/stat").split(separator: "\n").first else { return 0 }
        // user nice system idle iowait irq softirq steal, in clock ticks
        let ticks = line.split(separator: " ").dropFirst().prefix(8).compactMap { Int64($0) }.reduce(0, +)
        return ticks * (1_000_000_000 / Int64(sysconf(Int32(_SC_CLK_TCK))))
    }

    /// Whether limits are set on cgroup version 1 hierarchies: a version 1 or hybrid host.
    public static let limitsOnCgroupV1 = (try? CgroupLayout.detect())?.limitsOnVersion1 ?? false

    public static var kernelVersion: String { uname().release }
    public static var architecture: String { uname().machine }
    public static var hostname: String { uname().node }

    private static func uname() -> (release: String, machine: String, node: String) {
        var name = utsname()
        Glibc.uname(&name)
        func text<Field>(_ field: Field) -> String {
            withUnsafeBytes(of: field) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
        }
        return (text(name.release), text(name.machine), text(name.nodename))
    }

    /// `PRETTY_NAME` of os-release.
    public static var operatingSystem: String {
        for line in text("/etc/os-release").split(separator: "\n") where line.hasPrefix("PRETTY_NAME=") {
            return line.dropFirst("PRETTY_NAME=".count).filter { $0 != "\"" }
        }
        return "Linux"
    }

    /// A small file of /proc or /etc; empty where it is missing.
    private static func text(_ path: String) -> String {
        (try? FileContents.read(path)).map { String(decoding: $0, as: UTF8.self) } ?? ""
    }
}
