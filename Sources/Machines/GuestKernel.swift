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
        return try complete(release, modules: unpacked, of: path, in: folder)
    }

    /// Takes a kernel that was built by hand; see `KernelStore.add`. Blocking.
    static func take(image: String, modules: String, into folder: String) throws -> GuestKernel {
        let release = modules.split(separator: "/").last.map(String.init) ?? ""
        guard !release.isEmpty, !release.hasPrefix(".") else {
            throw SkalaError(.invalid, "the folder of modules '\(modules)' is not named by a kernel's release")
        }
        try FileContents.makeDirectories(folder + "/modules")
        let kernel = try KernelImage.uncompressed(try FileContents.read(image, limit: 1 << 30))
        try FileContents.overwrite(folder + "/vmlinux", with: kernel)
        var taken: Set<String> = []
        func walk(_ path: String, _ name: String) throws {
            var status = stat()
            // A link, as to the kernel's source, leads elsewhere.
            guard lstat(path, &status) == 0, status.st_mode & S_IFMT != S_IFLNK else { return }
            if status.st_mode & S_IFMT == S_IFDIR {
                for entry in try FileContents.names(in: path) { try walk(path + "/" + entry, name + "/" + entry) }
                return
            }
            let suffix = [".xz", ".zst", ".gz"].first { name.hasSuffix(".ko" + $0) } ?? ""
            guard let module = moduleName(String(name.dropLast(suffix.count))) else { return }
            let content = try FileContents.read(path, limit: 256 << 20)
            taken.insert(module)
            try FileContents.overwrite(
                folder + "/modules/" + module + ".ko",
                with: suffix.isEmpty ? content : try Decompression.all(content, limit: 256 << 20))
        }
        try walk(modules, "lib/modules/" + release)
        // What the kernel has in it; a build without any module has no such file.
        if access(modules + "/modules.builtin", F_OK) == 0 {
            let list = try FileContents.read(modules + "/modules.builtin")
            try FileContents.overwrite(folder + "/builtin", with: list)
            taken.formUnion(builtIn(list))
        }
        return try complete(release, modules: taken, of: modules, in: folder)
    }

    /// The names in a kernel's list of what would be modules and is part of it: `kernel/fs/fuse/virtiofs.ko`, a line each.
    private static func builtIn(_ list: [UInt8]) -> Set<String> {
        Set(
            list.split(separator: 0x0A).compactMap { line in
                let path = String(decoding: line, as: UTF8.self)
                guard path.hasSuffix(".ko"), let slash = path.lastIndex(of: "/") else { return nil }
                return KernelModule.normalized(String(path[path.index(after: slash)...].dropLast(3)))
            })
    }

    /// - Throws: `.invalid` naming a module that is missing.
    private static func complete(
        _ release: String, modules: Set<String>, of path: String, in folder: String
    ) throws -> GuestKernel {
        for name in wanted where !modules.contains(name) {
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
        // A distribution's kernel has no such list here: what is built in is no dependency of its modules either.
        let builtIn =
            try access(folder + "/builtin", F_OK) == 0
            ? GuestKernel.builtIn(FileContents.read(folder + "/builtin")) : []
        func add(_ name: String) throws {
            guard !builtIn.contains(name), !order.contains(where: { $0.name == name }) else { return }
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
        // Each configuration brings numbers of its own; these are to boot with.
        archive.addFile("seed", (0..<64).map { _ in UInt8.random(in: 0...255) })
        for module in order { archive.addFile("modules/\(module.name).ko", module.content) }
        archive.addFile("modules/order", Array(order.map { $0.name + ".ko\n" }.joined().utf8))
        archive.finish()
        return archive.bytes
    }
}
