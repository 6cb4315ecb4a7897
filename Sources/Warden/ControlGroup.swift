import Base
import CLinux
import Glibc
import Kernel
import OCI

/// The control groups of one container: a directory in each version 1 hierarchy it needs, and one in the version 2 tree.
///
/// On a hybrid host limits are set on version 1, and the version 2 leaf gives kill, freeze and pressure.
final class ControlGroup {
    /// Below each hierarchy's root, such as `/skala/<id>`.
    let path: String
    let layout: CgroupLayout
    /// The directory of each version 1 controller in use.
    private(set) var paths: [String: String] = [:]
    let version2Path: String?
    /// For a group below a parent that is not the warden's own.
    private let journal: GroupJournal?
    /// Processes may be in it already.
    private var isFilled = false

    /// Statistics and device rules need these; others are made when a limit asks for them.
    private static let always = ["memory", "pids", "cpuacct", "devices"]

    init(path: String, layout: CgroupLayout, journal: GroupJournal? = nil) throws(SkalaError) {
        let parts = path.split(separator: "/")
        guard !parts.isEmpty, !parts.contains(".."), !path.utf8.contains(0), !path.contains(":") else {
            throw SkalaError(.invalid, "invalid linux.cgroupsPath '\(path)'")
        }
        self.path = "/" + parts.joined(separator: "/")
        self.layout = layout
        self.journal = journal
        version2Path = layout.version2.map { $0 + "/" + parts.joined(separator: "/") }
    }

    /// The version 1 files that a process of one thread joins the group (or a group below it) by, writing "0"; the
    /// version 2 group is joined by the clone.
    ///
    /// Not `cgroup.procs`: a write there takes a lock over all processes, which after a pause of some 20 ms waits for an
    /// RCU grace period (10 to 20 ms measured). A thread that moves itself needs no such lock.
    func joinFiles(below subgroup: String = "") -> [String] {
        Set(paths.values).sorted().map { $0 + subgroup + "/tasks" }
    }

    /// Makes the directories and sets the limits. What was made is removed again when this fails.
    func create(_ resources: RuntimeResources) throws {
        do {
            let controllers = wanted
            if let journal {
                let mounts = controllers.compactMap { layout.version1[$0] } + [layout.version2].compactMap { $0 }
                try journal.begin(path, in: Set(mounts))
            }
            for controller in controllers { try make(controller) }
            if let version2Path {
                try FileContents.makeDirectories(version2Path)
                if !layout.limitsOnVersion1 { delegate() }
            }
            try apply(resources, isNew: true)
            isFilled = true
        } catch {
            remove()
            throw error
        }
    }

    /// The version 1 controllers whose directories are made in any case. Below a parent of somebody else's that is all of them,
    /// since that may have limits of any kind, now or later. Not the freezer: who is stopped there cannot even be killed.
    private var wanted: [String] {
        guard layout.limitsOnVersion1 else { return [] }
        return journal == nil ? ControlGroup.always : layout.version1.keys.filter { $0 != "freezer" }.sorted()
    }

    /// Takes over the directories that exist, left by a predecessor.
    func adopt() {
        isFilled = true
        for (controller, mount) in layout.version1 where access(mount + path, F_OK) == 0 {
            paths[controller] = mount + path
        }
    }

    /// The process ids of the group and the groups below it, as the host sees them.
    func processes() -> [Int32] {
        ControlGroup.processes(in: version2Path ?? paths["pids"] ?? paths["memory"] ?? paths.values.min() ?? "")
    }

    private static func processes(in directory: String) -> [Int32] {
        // A group that is gone holds nothing.
        let text = (try? SmallFile.text(directory + "/cgroup.procs")) ?? ""
        return text.split(separator: "\n").compactMap { Int32($0) }
            + subgroups(of: directory).flatMap { processes(in: directory + "/" + $0) }
    }

    private static func subgroups(of directory: String) -> [String] {
        guard let listing = opendir(directory) else { return [] }
        defer { closedir(listing) }
        var names: [String] = []
        while let entry = readdir(listing) {
            guard entry.pointee.d_type == UInt8(DT_DIR) else { continue }
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name != ".", name != ".." { names.append(name) }
        }
        return names
    }

    /// Removes a group and those below it; true when it is gone.
    private static func removeTree(_ directory: String) -> Bool {
        if removeEmpty(directory) { return true }
        for name in subgroups(of: directory) where !removeTree(directory + "/" + name) { return false }
        return removeEmpty(directory)
    }

    /// A group that we may not remove counts as gone: waiting does not help.
    private static func removeEmpty(_ directory: String) -> Bool {
        rmdir(directory) == 0 || ![EBUSY, ENOTEMPTY, EIO, EINTR, ENOMEM].contains(errno)
    }

    /// The version 1 directory of a controller, made when it is missing; nil when the host has no such controller.
    @discardableResult
    func make(_ controller: String) throws(KernelError) -> String? {
        if let known = paths[controller] { return known }
        guard let mount = layout.version1[controller] else { return nil }
        let directory = mount + path
        if controller == "cpuset" {
            try makeCpuset(mount)
        } else {
            try FileContents.makeDirectories(directory)
        }
        if isFilled { join(directory) }
        paths[controller] = directory
        return directory
    }

    /// Moves the group's processes, again until none was forked meanwhile, within a bound.
    private func join(_ directory: String) {
        var moved: Set<Int32> = []
        for _ in 0..<50 {
            let new = processes().filter { !moved.contains($0) }
            if new.isEmpty { return }
            for pid in new { try? SmallFile.write(String(pid), to: directory + "/cgroup.procs") }  // it may have ended
            moved.formUnion(new)
        }
    }

    /// A new cpuset group is empty and takes no process until it has processors and memory nodes.
    private func makeCpuset(_ mount: String) throws(KernelError) {
        var directory = mount
        for part in path.split(separator: "/") {
            let parent = directory
            directory += "/" + part
            try FileContents.makeDirectories(directory)
            for file in ["cpuset.cpus", "cpuset.mems"] {
                let value = try SmallFile.text(directory + "/" + file)
                if value.contains(where: { $0 != "\n" }) { continue }
                try SmallFile.write(try SmallFile.text(parent + "/" + file), to: directory + "/" + file)
            }
        }
    }

    /// Turns the controllers on along the version 2 path.
    private func delegate() {
        guard let root = layout.version2 else { return }
        var directory = root
        for part in path.split(separator: "/") {
            for controller in ["cpu", "cpuset", "memory", "pids", "io", "hugetlb"]
            where layout.controllers.contains(controller) {
                // Not every parent delegates every controller; a limit that needs one fails later and says so.
                try? SmallFile.write("+" + controller, to: directory + "/cgroup.subtree_control")
            }
            directory += "/" + part
        }
    }

    /// Kills every process of the group and does not wait.
    func kill() {
        if let version2Path, (try? SmallFile.write("1", to: version2Path + "/cgroup.kill")) != nil { return }
        // Before Linux 5.14: stopped, nothing can fork away; and again within a bound, for what cannot be stopped.
        let freezes = freeze(true)
        for _ in 0..<100 where freezes && !isFrozen { usleep(1000) }
        for _ in 0..<50 {
            let running = processes()
            for pid in running { _ = Glibc.kill(pid, SIGKILL) }
            if freezes { freeze(false) }
            if running.isEmpty { return }
            usleep(1000)
        }
    }

    /// Removes the directories, killing what is left; waits at most about a second. False when one stays.
    @discardableResult
    func remove() -> Bool {
        for attempt in 0..<200 {
            if removeOnce() { return true }
            if attempt % 20 == 0 {
                freeze(false)
                kill()
            }
            usleep(attempt < 20 ? 500 : 5000)
        }
        return false
    }

    /// The same without waiting or killing.
    func removeOnce() -> Bool {
        var left = Set(paths.values)
        if let version2Path { left.insert(version2Path) }
        left = left.filter { !ControlGroup.removeTree($0) }
        if left.isEmpty {
            paths = [:]
            journal?.end(path)
        }
        return left.isEmpty
    }

    @discardableResult
    func freeze(_ frozen: Bool) -> Bool {
        if let version2Path {
            return (try? SmallFile.write(frozen ? "1" : "0", to: version2Path + "/cgroup.freeze")) != nil
        }
        guard let directory = try? make("freezer") else { return false }
        return (try? SmallFile.write(frozen ? "FROZEN" : "THAWED", to: directory + "/freezer.state")) != nil
    }

    /// Lets a group go on that the version 1 freezer stopped: what is killed in it does not end before.
    func thawVersion1() throws(KernelError) {
        guard version2Path == nil, let directory = paths["freezer"] else { return }
        try SmallFile.write("THAWED", to: directory + "/freezer.state")
    }

    /// Whether every process is stopped now.
    var isFrozen: Bool {
        if let version2Path {
            return ((try? SmallFile.text(version2Path + "/cgroup.events")) ?? "").contains("frozen 1")
        }
        return ((try? SmallFile.text((paths["freezer"] ?? "") + "/freezer.state")) ?? "").hasPrefix("FROZEN")
    }

    /// How many processes of the group the kernel killed for lack of memory.
    var oomKills: Int64 {
        let file = paths["memory"].map { $0 + "/memory.oom_control" } ?? (version2Path ?? "") + "/memory.events"
        return ControlGroup.fields(file)["oom_kill"] ?? 0
    }

    /// The `name number` lines of a control file; empty when there is none.
    static func fields(_ path: String) -> [String: Int64] {
        var fields: [String: Int64] = [:]
        for line in ((try? SmallFile.text(path)) ?? "").split(separator: "\n") {
            let parts = line.split(separator: " ")
            if parts.count == 2, let value = Int64(parts[1]) { fields[String(parts[0])] = value }
        }
        return fields
    }
}
