import Base
import CLinux
import Glibc
import Kernel
import OCI

/// A container of the command-line runtime: a folder below `--root` with its status, spec and start gate.
struct RuntimeState {
    let folder: String
    let id: String
    var json: JSON
    var spec: JSON

    var gatePath: String { folder + "/exec.fifo" }
    var pid: Int32 { Int32(clamping: json["pid"].int ?? 0) }

    static func folder(root: String, id: String) throws(SkalaError) -> String {
        let allowed = id.allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber || "_+-.".contains($0)) }
        guard allowed, !id.isEmpty, id.count <= 1024, id != ".", id != ".." else {
            throw SkalaError(.invalid, "invalid container id '\(id)'")
        }
        return root + "/" + id
    }

    static func load(root: String, id: String) throws -> RuntimeState {
        let folder = try folder(root: root, id: id)
        guard access(folder + "/status", F_OK) == 0 else {
            throw SkalaError(.notFound, "container does not exist: \(id)")
        }
        return RuntimeState(
            folder: folder, id: id, json: try JSON(parsing: try SmallFile.read(folder + "/status")),
            spec: try JSON(parsing: try SmallFile.read(folder + "/config.json")))
    }

    func save() throws {
        for (name, json) in [("config.json", spec), ("status", json)] {
            try RuntimeState.write(json.text, to: folder + "/" + name)
        }
    }

    /// Writes a file so that a reader never sees half of it.
    static func write(_ text: String, to path: String) throws {
        do {
            let file = try OwnedDescriptor.open(path + ".new", O_WRONLY | O_CREAT | O_TRUNC)
            var text = text
            let length = text.utf8.count
            let count = text.withUTF8 { Glibc.write(file.raw, $0.baseAddress, $0.count) }
            guard count == length else { throw KernelError("write", path, errno: count < 0 ? errno : ENOSPC) }
        }
        try checkErrno(rename(path + ".new", path), "rename", path)
    }

    func remove() {
        for name in ["status", "config.json"] { unlink(folder + "/" + name) }
        if rmdir(folder) == 0 { return }
        for name in ["exec.fifo", "notify/notify"] { unlink(folder + "/" + name) }
        rmdir(folder + "/notify")
        rmdir(folder)
    }

    /// When a process began, in clock ticks after boot, which tells it from a later one with its id; nil when it is gone
    /// or a zombie.
    static func startTime(_ pid: Int32) -> String? {
        guard pid > 0, let text = try? SmallFile.text("/proc/\(pid)/stat"), let end = text.lastIndex(of: ")") else {
            return nil
        }
        let fields = text[text.index(after: end)...].split(separator: " ")
        guard fields.count > 19, fields[0] != "Z", fields[0] != "X" else { return nil }
        return String(fields[19])
    }

    var isAlive: Bool { RuntimeState.startTime(pid).map { $0 == json["startTime"].string } ?? false }

    func cgroup(isNew: Bool = false) throws -> ControlGroup {
        let isDisabled = json["cgroupManager"].string == "disabled"
        let group = try ControlGroup(
            path: json["cgroup"].string ?? "", layout: isDisabled ? .none : try CgroupLayout.detect())
        if !isNew { group.adopt() }
        return group
    }

    func status() throws -> String {
        guard isAlive else { return "stopped" }
        if access(gatePath, F_OK) == 0 { return "created" }
        return try cgroup().isFrozen ? "paused" : "running"
    }

    /// The state as the specification's `state` operation shows it.
    func description() throws -> JSON {
        let status = try status()
        var answer = hookState(status, pid: status == "stopped" ? 0 : pid)
        for key in ["rootfs", "created", "owner"] { answer[key] = json[key] }
        return answer
    }

    /// The state as hooks and listeners get it (runtime specification, "State").
    func hookState(_ status: String, pid: Int32?) -> JSON {
        var state: JSON = [
            "ociVersion": spec["ociVersion"].isNull ? "1.0.2" : spec["ociVersion"], "id": JSON(id),
            "status": JSON(status),
        ]
        if let pid { state["pid"] = JSON(pid) }
        state["bundle"] = json["bundle"]
        state["annotations"] = spec["annotations"].isNull ? [:] : spec["annotations"]
        return state
    }

    /// A hook that fails ends the container.
    func runPoststart(_ spec: RuntimeSpec) throws {
        guard !spec.hooks.poststart.isEmpty else { return }
        try HookProcess.run(spec.hooks.poststart, state: hookState("running", pid: pid))
    }

    /// Each of them, whatever becomes of the others: the container is gone.
    func runPoststop(_ spec: RuntimeSpec) {
        for hook in spec.hooks.poststop {
            do {
                try HookProcess.run([hook], state: hookState("stopped", pid: 0))
            } catch {
                StandardStreams.error("skala-runtime: warning: poststop: \(error)\n")
            }
        }
    }
}
