import Base
import CLinux
import Glibc
import Kernel

/// The machine around a warden that is process 1 of a VM: modules, the root file system, and what the engine gives it
/// after it was cloned from a template.
final class Guest {
    /// The names of the virtio-serial ports: the protocol's, and those that container logs are written to.
    static let port = "skala.warden"

    /// The folder everything of the engine's is below.
    static let folder = "/run/skala"

    private var mounted: [String] = []

    /// Brings the kernel up to where containers can be run. Disks are left without a driver: a clone's are not its
    /// template's, and their sizes are read when the driver takes them.
    static func start() throws -> Guest {
        let modules = try SmallFile.text("/modules/order").split(separator: "\n").map(String.init)
        for name in modules {
            if name == "virtio_blk.ko" { try SmallFile.write("0", to: "/sys/bus/virtio/drivers_autoprobe") }
            try check(cl_load_module("/modules/" + name), "load module", name)
            unlink("/modules/" + name)
        }
        try SmallFile.write("1", to: "/sys/bus/virtio/drivers_autoprobe")
        let initProgram = try FileContents.read("/skala-init")
        try check(cl_guest_root(), "make the root file system")
        try FileContents.makeDirectories(folder, mode: 0o711)
        try FileContents.overwrite(folder + "/skala-init", with: initProgram, mode: 0o755)
        try NetlinkSocket().setUp("lo")
        return Guest()
    }

    /// The device files of the virtio-serial ports, by name.
    private static func ports() throws -> [String: String] {
        let root = "/sys/class/virtio-ports"
        var ports: [String: String] = [:]
        for device in try FileContents.names(in: root) {
            let name = try SmallFile.text("\(root)/\(device)/name").filter { $0 != "\n" }
            ports[name] = "/dev/" + device
        }
        return ports
    }

    /// The device file of one of them.
    static func port(named name: String) throws -> String {
        // The driver asks the host for the names after it was loaded.
        for _ in 0..<500 {
            if let path = try? ports()[name] { return path }
            usleep(10_000)
        }
        throw SkalaError(.notFound, "the VM has no virtio-serial port '\(name)'")
    }

    // MARK: configure

    /// Makes this clone a machine of its own; docs/warden-protocol.md has the fields.
    func configure(_ request: JSON) throws -> JSON {
        if let time = request["time"].int { try check(cl_set_clock(time), "set the clock") }
        if let text = request["entropy"].string {
            guard let bytes = Base64.decode(text), bytes.count <= 512 else {
                throw SkalaError(.invalid, "entropy must be at most 512 bytes of base64")
            }
            try check(cl_add_entropy(bytes, UInt32(bytes.count)), "add entropy")
        }
        if let name = request["hostname"].string { try check(cl_set_hostname(name), "set the hostname") }
        for file in request["files"].array ?? [] {
            let path = try Guest.path(file["path"])
            if let slash = path.lastIndex(of: "/") { try FileContents.makeDirectories(String(path[..<slash])) }
            try FileContents.overwrite(path, with: Array((file["content"].string ?? "").utf8))
        }
        for disk in request["disks"].array ?? [] { try mount(disk) }
        if let tag = request["share"]["tag"].string { try mountShare(tag, at: Guest.path(request["share"]["path"])) }
        for interface in request["interfaces"].array ?? [] { try GuestInterface(interface).configure() }
        for (key, value) in request["sysctls"].stringDictionary ?? [:] {
            try SmallFile.write(value, to: "/proc/sys/" + key.map { $0 == "." ? "/" : String($0) }.joined())
        }
        return ["ports": JSON(try Guest.ports())]
    }

    /// A path below our folder.
    private static func path(_ json: JSON) throws(SkalaError) -> String {
        guard let path = json.string, path.hasPrefix(folder + "/"), !path.utf8.contains(0),
            !path.split(separator: "/").contains("..")
        else { throw SkalaError(.invalid, "not a path below \(folder): '\(json.string ?? "")'") }
        return path
    }

    // MARK: disks

    private func mount(_ json: JSON) throws {
        let serial = json["serial"].string ?? ""
        let target = try Guest.path(json["path"])
        let type = json["type"].string ?? ""
        guard ["squashfs", "erofs", "ext4"].contains(type) else {
            throw SkalaError(.invalid, "unknown type of disk '\(type)'")
        }
        let device = try Guest.disk(serial)
        try FileContents.makeDirectories(target, mode: 0o711)
        let flags = json["readonly"].bool == true ? UInt(MS_RDONLY) : 0
        try check(cl_mount(device, target, type, flags, nil), "mount \(type)", "disk '\(serial)'")
        mounted.append(target)
        for name in json["folders"].strings ?? [] {
            try FileContents.makeDirectories(try Guest.path(JSON(target + "/" + name)), mode: 0o755)
        }
    }

    /// Folders of the host. Their device is not the template's, and has to be looked for.
    private func mountShare(_ tag: String, at target: String) throws {
        try SmallFile.write("1", to: "/sys/bus/pci/rescan")
        try FileContents.makeDirectories(target, mode: 0o711)
        try check(cl_mount(tag, target, "virtiofs", 0, nil), "mount virtiofs", "share '\(tag)'")
        mounted.append(target)
    }

    /// The device of the disk with that serial number, which gets its driver now.
    private static func disk(_ serial: String) throws -> String {
        try bindDrivers()
        for name in try FileContents.names(in: "/sys/block") where name.hasPrefix("vd") {
            // Without a newline at its end.
            if (try? SmallFile.text("/sys/block/\(name)/serial"))?.split(separator: "\n").first.map(String.init)
                == serial
            {
                return "/dev/" + name
            }
        }
        throw SkalaError(.notFound, "the VM has no disk '\(serial)'")
    }

    private static func bindDrivers() throws {
        let devices = "/sys/bus/virtio/devices"
        for name in try FileContents.names(in: devices) where access("\(devices)/\(name)/driver", F_OK) != 0 {
            // Devices of other kinds that no module serves stay without.
            guard (try? SmallFile.text("\(devices)/\(name)/device")) == "0x0002\n" else { continue }
            try SmallFile.write(name, to: "/sys/bus/virtio/drivers/virtio_blk/bind")
        }
    }

    /// Writes everything to the disks and lets go of them, so that the VM may be taken away.
    func unmountAll() {
        sync()
        for target in mounted.reversed() { _ = cl_unmount(target) }
        mounted = []
    }
}
