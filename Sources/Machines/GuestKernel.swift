import Base
import Glibc
import Images
import Kernel

/// A kernel for guests: taken out of a distribution's package, unpacked into a folder of its own.
public struct GuestKernel: Sendable, Hashable {
    /// Its release, `6.1.0-56-cloud-amd64`.
    public let release: String
    let folder: String

    /// The file with the uncompressed kernel.
    public var image: String { folder + "/vmlinux" }
    private var modules: String { folder + "/modules" }

    /// What a guest's warden needs; each comes with what it depends on. `virtio_blk` is loaded last, and without a device:
    /// a clone's disks are not its template's.
    private static let wanted = [
        "virtio_pci", "virtio_console", "virtio_net", "virtio_rng", "virtio_balloon", "overlay", "squashfs", "virtiofs",
        "virtio_blk",
    ]

    /// The kernel that was unpacked there.
    init(folder: String, release: String) {
        self.folder = folder
        self.release = release
    }

    /// Takes the kernel and its modules out of a Debian package of a kernel image, without installing it. Blocking.
    ///
    /// - Throws: `.invalid` naming the file when it is no such package.
    static func unpack(package path: String, into folder: String) throws -> GuestKernel {
        var release: String?
        var unpacked: Set<String> = []
        try FileContents.makeDirectories(folder + "/modules")
        try DebianPackage(path).eachFile { name, read in
            if name.hasPrefix("boot/vmlinuz-") {
                release = String(name.dropFirst("boot/vmlinuz-".count))
                try FileContents.overwrite(folder + "/vmlinux", with: KernelImage.uncompressed(try read()))
            } else if let module = moduleName(name) {
                unpacked.insert(module)
                try FileContents.overwrite(folder + "/modules/" + module + ".ko", with: try read())
            }
        }
        guard let release else { throw SkalaError(.invalid, "\(path) holds no boot/vmlinuz-*") }
        for name in wanted where !unpacked.contains(name) {
            throw SkalaError(.invalid, "the kernel \(release) of \(path) has no module \(name)")
        }
        try FileContents.overwrite(folder + "/release", with: Array((release + "\n").utf8))
        return GuestKernel(folder: folder, release: release)
    }

    /// The module's name when it is one a guest may need.
    private static func moduleName(_ path: String) -> String? {
        guard path.hasPrefix("lib/modules/"), path.hasSuffix(".ko"), let slash = path.lastIndex(of: "/") else {
            return nil
        }
        let folders = ["drivers/virtio/", "drivers/block/virtio", "drivers/net/", "drivers/char/", "fs/", "net/core/"]
        guard folders.contains(where: { path.contains("/kernel/" + $0) }) else { return nil }
        return KernelModule.normalized(String(path[path.index(after: slash)...].dropLast(3)))
    }

    /// The initial file system of a guest: the warden as `/init`, the program for `--init`, and the modules in the order they are loaded.
    public func initramfs(warden: [UInt8], initProgram: [UInt8]) throws -> [UInt8] {
        var order: [KernelModule] = []
        func add(_ name: String) throws {
            guard !order.contains(where: { $0.name == name }) else { return }
            let module = KernelModule(name: name, content: try FileContents.read("\(modules)/\(name).ko"))
            for dependency in module.dependencies { try add(dependency) }
            order.append(module)
        }
        for name in GuestKernel.wanted { try add(name) }
        var archive = CPIOArchive()
        for folder in ["dev", "modules", "proc", "root", "sys"] { archive.addDirectory(folder) }
        archive.addCharacterDevice("dev/console", major: 5, minor: 1)
        archive.addFile("init", warden, isExecutable: true)
        archive.addFile("skala-init", initProgram, isExecutable: true)
        for module in order { archive.addFile("modules/\(module.name).ko", module.content) }
        archive.addFile("modules/order", Array(order.map { $0.name + ".ko\n" }.joined().utf8))
        archive.finish()
        return archive.bytes
    }
}
