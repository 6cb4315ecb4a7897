import Base
import CLinux
import Glibc
import Kernel
import OCI

/// A container of the command-line runtime: a folder below `--root` with its state, spec and start gate.
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
        guard access(folder + "/state.json", F_OK) == 0 else {
            throw SkalaError(.notFound, "container does not exist: \(id)")
        }
        return RuntimeState(
            folder: folder, id: id, json: try JSON(parsing: try SmallFile.read(folder + "/state.json")),
            spec: try JSON(parsing: try SmallFile.read(folder + "/config.json")))
    }

    func save() throws {
        for (name, json) in [("config.json", spec), ("state.json", json)] {
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
        for name in ["state.json", "config.json", "exec.fifo"] { unlink(folder + "/" + name) }
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

    func cgroup() throws -> ControlGroup {
        let group = try ControlGroup(path: json["cgroup"].string ?? "", layout: try CgroupLayout.detect())
        group.adopt()
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
        return [
            "ociVersion": spec["ociVersion"].isNull ? "1.0.2" : spec["ociVersion"], "id": JSON(id),
            "pid": JSON(status == "stopped" ? 0 : pid), "status": JSON(status), "bundle": json["bundle"],
            "rootfs": json["rootfs"], "created": json["created"], "owner": "",
            "annotations": spec["annotations"].isNull ? [:] : spec["annotations"],
        ]
    }
}
