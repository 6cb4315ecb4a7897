import Base
import Glibc
import Kernel

/// Programs of the host that the lab makes use of.
enum HostProgram {
    /// The path of a program where systems have theirs, whatever the user's PATH is; nil when it is not installed.
    static func find(_ program: String) -> String? {
        Subprocess.find(program, path: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
    }
}

/// Sets of the host's processors, as taskset and cpuset take them.
enum ProcessorSet {
    /// The last so many, at least one, as `2-3`: those that the engine gives first, since the first ones take most of the host's
    /// interrupts.
    static func last(_ count: Double, of all: Int = HostFacts.onlineCPUs) -> String {
        text(all - whole(count, all), all - 1)
    }

    /// All but those; nil where there are no others.
    static func allBut(last count: Double, of all: Int = HostFacts.onlineCPUs) -> String? {
        let rest = all - whole(count, all)
        return rest > 0 ? text(0, rest - 1) : nil
    }

    private static func whole(_ count: Double, _ all: Int) -> Int { max(1, min(all, Int(count.rounded(.up)))) }

    private static func text(_ first: Int, _ last: Int) -> String { first == last ? "\(first)" : "\(first)-\(last)" }
}
