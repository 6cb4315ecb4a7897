import Base
import CLinux
import Glibc
import Kernel

/// A device node of the host.
struct HostDevice {
    let path: String
    /// `c` or `b`.
    let type: String
    let major: UInt32
    let minor: UInt32
    let mode: UInt32
    let uid: UInt32
    let gid: UInt32

    /// The device at `path`, or nil when there is none.
    static func look(_ path: String) -> HostDevice? {
        var status = stat()
        guard stat(path, &status) == 0 else { return nil }
        let kind = status.st_mode & S_IFMT
        guard kind == S_IFCHR || kind == S_IFBLK else { return nil }
        return HostDevice(
            path: path, type: kind == S_IFCHR ? "c" : "b", major: UInt32(gnu_dev_major(status.st_rdev)),
            minor: UInt32(gnu_dev_minor(status.st_rdev)), mode: status.st_mode & 0o7777, uid: status.st_uid,
            gid: status.st_gid)
    }

    /// The element of `linux.devices` that makes this node at `destination`.
    func node(at destination: String) -> JSON {
        [
            "path": JSON(destination), "type": JSON(type), "major": JSON(major), "minor": JSON(minor),
            "fileMode": JSON(mode), "uid": JSON(uid), "gid": JSON(gid),
        ]
    }

    /// All devices below /dev that a privileged container gets; not terminals and what is mounted there anyway.
    static func all() -> [HostDevice] {
        var devices: [HostDevice] = []
        var folders = ["/dev"]
        while let folder = folders.popLast() {
            guard let directory = opendir(folder) else { continue }
            defer { closedir(directory) }
            while let entry = readdir(directory) {
                let name = withUnsafePointer(to: &entry.pointee.d_name) {
                    $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
                }
                if [".", "..", "pts", "shm", "mqueue", "fd", "console", "ptmx", "hugepages"].contains(name) {
                    continue
                }
                let path = folder + "/" + name
                if entry.pointee.d_type == DT_DIR { folders.append(path) }
                if entry.pointee.d_type == DT_CHR || entry.pointee.d_type == DT_BLK, let device = look(path) {
                    devices.append(device)
                }
            }
        }
        return devices.sorted { $0.path < $1.path }
    }
}
