import Base
import CLinux
import Glibc
import Kernel

/// The machine around a warden that is process 1 of a VM: modules, the root file system, and what the engine gives it
/// after it was cloned from a template.
final class Guest {
    /// The names of the virtio-serial ports: the protocol's, and those that container logs are written to.
    static let port = "skala.warden"

    /// The serial number of the disk that a template has mounted.
    static let scratchDisk = "scratch"

    /// The folder everything of the engine's is below.
    static let folder = "/run/skala"

    /// What Docker sets in every container's network; done once, in the template.
    private static let sysctls = [
        "net.ipv4.ip_unprivileged_port_start": "0", "net.ipv4.ping_group_range": "0 2147483647",
    ]

    var mounted: [String] = []
    private let cards: GuestCards
    /// The disks' devices by their serial numbers, which stay the same in clones.
    private var disks: [String: String] = [:]

    init() throws { cards = try GuestCards() }

    /// Brings the kernel up to where containers can be run, and does in the template whatever need not be done in each
    /// clone: under emulation every part of the kernel that runs for the first time costs milliseconds.
    static func start() throws -> Guest {
        for name in try SmallFile.text("/modules/order").split(separator: "\n").map(String.init) {
            try check(cl_load_module("/modules/" + name), "load module", name)
            unlink("/modules/" + name)
        }
        let initProgram = try FileContents.read("/skala-init")
        try check(cl_guest_root(), "make the root file system")
        try FileContents.makeDirectories(folder, mode: 0o711)
        try FileContents.overwrite(folder + "/skala-init", with: initProgram, mode: 0o755)
        let guest = try Guest()
        try guest.prepareDisk()
        try guest.prepareNetwork()
        return guest
    }

    /// Mounts the empty disk, which is copied with the template: a new container finds its own mounted.
    private func prepareDisk() throws {
        guard let device = try device(of: Guest.scratchDisk) else { return }
        try mount(device, "ext4", at: Guest.folder + "/disk", flags: 0)
        for name in ["upper", "work", "warm/upper", "warm/work"] {
            try FileContents.makeDirectories(Guest.folder + "/disk/" + name)
        }
        sync()
    }

    private func prepareNetwork() throws {
        let netlink = try NetlinkSocket()
        try netlink.setUp("lo")
        for link in try netlink.links() where link.name != "lo" {
            // An address made from the template's hardware address would stay in every clone.
            try SmallFile.write("1", to: "/proc/sys/net/ipv6/conf/\(link.name)/addr_gen_mode")
            try netlink.setUp(link.name)
        }
        for (key, value) in Guest.sysctls { try Guest.set(key, to: value) }
    }

    private static func set(_ sysctl: String, to value: String) throws(KernelError) {
        try SmallFile.write(value, to: "/proc/sys/" + sysctl.map { $0 == "." ? "/" : String($0) }.joined())
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
        // The clock that is set here is not the one that steps are timed by.
        var took: [String: Int64] = [:]
        var last = SystemClock.monotonicNanoseconds()
        func end(_ step: String) {
            let now = SystemClock.monotonicNanoseconds()
            took[step] = (now - last) / 1000
            last = now
        }
        if let time = request["time"].int { try check(cl_set_clock(time), "set the clock") }
        if let text = request["entropy"].string {
            guard let bytes = Base64.decode(text), bytes.count <= 512 else {
                throw SkalaError(.invalid, "entropy must be at most 512 bytes of base64")
            }
            try check(cl_add_entropy(bytes, UInt32(bytes.count)), "add entropy")
        }
        end("clock")
        if let name = request["hostname"].string { try check(cl_set_hostname(name), "set the hostname") }
        for file in request["files"].array ?? [] {
            let path = try Guest.path(file["path"])
            if let slash = path.lastIndex(of: "/") { try FileContents.makeDirectories(String(path[..<slash])) }
            var content = file["content"].string ?? ""
            if !file["added"].isNull {
                let edit = LineEdit(removed: file["removed"].strings ?? [], added: file["added"].string ?? "")
                content = edit.applied(to: String(decoding: try FileContents.read(path), as: UTF8.self))
            }
            try FileContents.overwrite(path, with: Array(content.utf8))
        }
        end("files")
        for path in request["unmount"].strings ?? [] {
            try unmount(try Guest.path(JSON(path)))
        }
        for disk in request["disks"].array ?? [] {
            try mount(disk)
            end(disk["serial"].string ?? "")
        }
        if let tag = request["share"]["tag"].string { try mountShare(tag, at: Guest.path(request["share"]["path"])) }
        end("share")
        for interface in request["interfaces"].array ?? [] { try cards.configure(interface) }
        end("network")
        for (key, value) in request["sysctls"].stringDictionary ?? [:] {
            if Guest.sysctls[key] != value { try Guest.set(key, to: value) }
        }
        end("sysctls")
        return ["ports": JSON(try Guest.ports()), "took": .object(JSONObject(took.map { ($0.key, JSON($0.value)) }))]
    }

    /// A path below our folder.
    static func path(_ json: JSON) throws(SkalaError) -> String {
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
        guard let device = try device(of: serial) else {
            throw SkalaError(.notFound, "the VM has no disk '\(serial)'")
        }
        try mount(device, type, at: target, flags: json["readonly"].bool == true ? UInt(MS_RDONLY) : 0)
    }

    /// Folders of the host. Their device is not the template's, and has to be looked for.
    private func mountShare(_ tag: String, at target: String) throws {
        try SmallFile.write("1", to: "/sys/bus/pci/rescan")
        try FileContents.makeDirectories(target, mode: 0o711)
        try check(cl_mount(tag, target, "virtiofs", 0, nil), "mount virtiofs", "share '\(tag)'")
        mounted.append(target)
    }

    private func mount(_ device: String, _ type: String, at target: String, flags: UInt) throws {
        try FileContents.makeDirectories(target, mode: 0o711)
        // Nothing is written in the background: what a template's disk holds must be what its memory knows.
        let options: String? = type == "ext4" ? "noinit_itable" : nil
        try check(cl_mount(device, target, type, flags | UInt(MS_NOATIME), options), "mount \(type)", "disk \(device)")
        mounted.append(target)
    }

    /// The device of the disk with that serial number; nil without one.
    func device(of serial: String) throws -> String? {
        if let known = disks[serial] { return known }
        for name in try FileContents.names(in: "/sys/block") where name.hasPrefix("vd") {
            // Without a newline at its end.
            if let text = try? SmallFile.text("/sys/block/\(name)/serial") {
                disks[String(text.prefix { $0 != "\n" })] = "/dev/" + name
            }
        }
        return disks[serial]
    }

    func unmount(_ path: String) throws(KernelError) {
        try check(cl_unmount(path), "unmount", path)
        mounted.removeAll { $0 == path }
    }

    /// Writes everything to the disks and lets go of them, so that the VM may be taken away.
    func unmountAll() {
        sync()
        for target in mounted.reversed() { _ = cl_unmount(target) }
        mounted = []
    }
}
