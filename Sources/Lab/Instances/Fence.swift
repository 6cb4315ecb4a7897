import Base
import Client
import Glibc
import Kernel

/// A control group of the host's own, with memory for all the instances of a trial together: within it more can be promised than there
/// is, without harm to the host. Instances are put into it by `HostConfig.CgroupParent`.
final class Fence {
    /// As the engine takes it: below the root of each hierarchy.
    let path: String
    private let directory: String
    private let isVersion1: Bool
    private let hostKillsBefore: Int64

    /// Why there can be none here; nil when there can.
    static func obstacle() -> String? {
        guard geteuid() == 0 else { return "a fence around instances needs root" }
        return hierarchy() == nil ? "a fence around instances needs control groups that limit memory" : nil
    }

    /// Where memory is limited.
    private static func hierarchy() -> (root: String, isVersion1: Bool)? {
        // A host whose mounts cannot be read has none.
        guard let layout = try? CgroupLayout.detect() else { return nil }
        if let root = layout.version1["memory"] { return (root, true) }
        return layout.version2.flatMap { layout.controllers.contains("memory") ? ($0, false) : nil }
    }

    /// One name for each engine, whose runs come one after the other: what a killed run left is found by it.
    private static func path(_ engine: EngineAddress) -> String {
        let hash = engine.path.utf8.reduce(UInt64(14_695_981_039_346_656_037)) {
            ($0 ^ UInt64($1)) &* 1_099_511_628_211
        }
        return "/skala-lab-" + String(hash, radix: 16)
    }

    /// - Parameter memory: bytes, without any swap.
    init(memory: Int64, engine: EngineAddress) throws {
        guard let (root, isVersion1) = Fence.hierarchy() else {
            throw SkalaError(.unsupported, Fence.obstacle() ?? "no control groups")
        }
        path = Fence.path(engine)
        directory = root + path
        self.isVersion1 = isVersion1
        if !isVersion1 { try SmallFile.write("+memory", to: root + "/cgroup.subtree_control") }
        try checkErrno(mkdir(directory, 0o755), "mkdir", directory)
        hostKillsBefore = Fence.hostKills()
        do {
            try SmallFile.write("\(memory)", to: directory + (isVersion1 ? "/memory.limit_in_bytes" : "/memory.max"))
            // Kernels without swap have no such files.
            let swap = directory + (isVersion1 ? "/memory.memsw.limit_in_bytes" : "/memory.swap.max")
            if access(swap, F_OK) == 0 { try SmallFile.write(isVersion1 ? "\(memory)" : "0", to: swap) }
        } catch {
            rmdir(directory)
            throw error
        }
    }

    /// Bytes that all in it take now: programs, VMs and the files they read and wrote, as far as those are kept in memory.
    func usage() throws -> Int64 {
        let file = directory + (isVersion1 ? "/memory.usage_in_bytes" : "/memory.current")
        return Int64(try SmallFile.text(file).trimmed) ?? 0
    }

    /// Whether something in it was killed for lack of memory, as far as what was killed in is still there.
    var hasKilled: Bool {
        guard isVersion1 else { return Fence.kills(directory + "/memory.events") > 0 }
        // Version 1 counts a kill where the program was only. A fence that is gone has killed nothing.
        let groups = (try? FileContents.names(in: directory)) ?? []
        return groups.contains { Fence.kills("\(directory)/\($0)/memory.oom_control") > 0 }
    }

    /// The same for when something went wrong: the group may have gone with what was killed, and then the host's count tells.
    var mayHaveKilled: Bool { hasKilled || isVersion1 && Fence.hostKills() > hostKillsBefore }

    private static func hostKills() -> Int64 { kills("/proc/vmstat") }

    private static func kills(_ file: String) -> Int64 {
        // Not every file of the folder is a group, and groups come and go.
        let text = (try? SmallFile.text(file)) ?? ""
        let line = text.split(separator: "\n").first { $0.hasPrefix("oom_kill ") }
        return line.flatMap { Int64($0.dropFirst("oom_kill ".count)) } ?? 0
    }

    /// Takes it away, once the instances in it have gone. Waits for ten seconds at most; what stays is the next run's.
    func remove() { Fence.remove(directory) }

    private static func remove(_ directory: String) {
        let end = SystemClock.monotonicNanoseconds() + 10_000_000_000
        while rmdir(directory) != 0, errno == EBUSY, SystemClock.monotonicNanoseconds() < end { usleep(20_000) }
    }

    /// Takes away what a run that was killed has left.
    static func removeLeftover(_ engine: EngineAddress) {
        if let (root, _) = hierarchy() { remove(root + path(engine)) }
    }
}
