import Base
import Glibc
import Kernel

/// The guest kernels of an engine, each in a folder named by its release. Blocking.
public struct KernelStore: Sendable {
    private let root: String

    public init(root: String) { self.root = root }

    private var choice: String { root + "/current" }

    /// All kernels that are complete, by release.
    public func list() throws -> [GuestKernel] {
        guard access(root, F_OK) == 0 else { return [] }
        return try FileContents.names(in: root).filter { access("\(root)/\($0)/release", F_OK) == 0 }.map {
            GuestKernel(folder: root + "/" + $0, release: $0)
        }
    }

    /// The kernel new VMs get; nil when there is none yet.
    public func current() throws -> GuestKernel? {
        let all = try list()
        // Without a choice the last one, which is the newest most times.
        let chosen = (try? FileContents.read(choice)).map { String(decoding: $0, as: UTF8.self) }
        return all.first { $0.release == chosen } ?? all.last
    }

    /// - Throws: `.invalid` naming those there are when it is none of them.
    public func find(_ release: String) throws -> GuestKernel {
        let all = try list()
        guard let kernel = all.first(where: { $0.release == release }) else {
            let known = all.isEmpty ? "none" : all.map(\.release).joined(separator: ", ")
            throw SkalaError(.invalid, "no such kernel for VMs: \(release); there are: \(known)")
        }
        return kernel
    }

    /// - Throws: `.notFound` when there is no such kernel.
    public func use(_ release: String) throws {
        guard try list().contains(where: { $0.release == release }) else {
            throw SkalaError(.notFound, "no such kernel: \(release)")
        }
        try FileContents.replace(choice, with: Array(release.utf8))
    }

    /// - Throws: `.notFound` when there is no such kernel.
    public func remove(_ release: String) throws {
        guard let kernel = try list().first(where: { $0.release == release }) else {
            throw SkalaError(.notFound, "no such kernel: \(release)")
        }
        try FileContents.removeTree(kernel.folder)
    }

    /// Adds the kernel of a Debian package file.
    public func add(package path: String) throws -> GuestKernel {
        try add { try GuestKernel.unpack(package: path, into: $0) }
    }

    /// Adds a kernel that was built by hand: its image (bzImage or ELF), and the folder of its modules, which is named by the
    /// kernel's release as below /lib/modules.
    public func add(image: String, modules: String) throws -> GuestKernel {
        try add { try GuestKernel.take(image: image, modules: modules, into: $0) }
    }

    /// Adds the kernel of an image's file system: `boot/vmlinuz-RELEASE` (or `vmlinux-RELEASE`) and its modules in
    /// `lib/modules/RELEASE`, as distributions lay them out.
    ///
    /// - Parameters:
    ///   - layers: the folders of its layers, the topmost first.
    ///   - name: the image's, for errors.
    public func add(layers: [String], of name: String) throws -> GuestKernel {
        for layer in layers {
            guard let boot = KernelStore.folder("boot", in: [layer]) else { continue }
            for file in try FileContents.names(in: boot).sorted() {
                guard let prefix = ["vmlinuz-", "vmlinux-"].first(where: file.hasPrefix) else { continue }
                let release = String(file.dropFirst(prefix.count))
                guard KernelStore.kind(of: boot + "/" + file) == S_IFREG else { continue }
                let places = ["lib/modules/" + release, "usr/lib/modules/" + release]
                guard let modules = places.lazy.compactMap({ KernelStore.folder($0, in: layers) }).first else {
                    throw SkalaError(.invalid, "\(name) has boot/\(file), but no lib/modules/\(release)")
                }
                return try add(image: boot + "/" + file, modules: modules)
            }
        }
        throw SkalaError(.invalid, "\(name) holds no boot/vmlinuz-*")
    }

    /// The topmost folder of that name; nothing is followed, since the links of strangers' images may lead out of them.
    private static func folder(_ name: String, in layers: [String]) -> String? {
        layers.lazy.compactMap { layer in
            var path = layer
            for component in name.split(separator: "/") {
                path += "/" + component
                guard kind(of: path) == S_IFDIR else { return nil }
            }
            return path
        }.first
    }

    private static func kind(of path: String) -> mode_t? {
        var status = stat()
        return lstat(path, &status) == 0 ? status.st_mode & S_IFMT : nil
    }

    private func add(_ fill: (String) throws -> GuestKernel) throws -> GuestKernel {
        try FileContents.makeDirectories(root)
        let folder = "\(root)/.new-\(getpid())"
        if access(folder, F_OK) == 0 { try FileContents.removeTree(folder) }
        do {
            let release = try fill(folder).release
            let target = root + "/" + release
            if access(target, F_OK) == 0 { try FileContents.removeTree(target) }
            try checkErrno(rename(folder, target), "rename", target)
            return GuestKernel(folder: target, release: release)
        } catch {
            try? FileContents.removeTree(folder)  // the first error is the one that tells
            throw error
        }
    }

    /// Downloads the distribution's kernel for clouds, which is made for VMs, with the distribution's own tool, and adds
    /// it. Nothing is installed.
    ///
    /// - Throws: `.unavailable` when the package cannot be had.
    public func pull() throws -> GuestKernel {
        let folder = "\(root)/.download-\(getpid())"
        try FileContents.makeDirectories(folder)
        defer { try? FileContents.removeTree(folder) }  // rubbish; what stays is removed by the next pull
        let script = """
            set -e
            cd "$1"
            package=$(apt-cache depends linux-image-cloud-amd64 | sed -n 's/^ *Depends: \\(linux-image-.*\\)/\\1/p' | head -n 1)
            exec apt-get -q -o APT::Sandbox::User=root download "${package:-linux-image-cloud-amd64}" >&2
            """
        guard try Subprocess.run(["/bin/sh", "-c", script, "sh", folder]) == 0,
            let name = try FileContents.names(in: folder).first(where: { $0.hasSuffix(".deb") })
        else {
            throw SkalaError(
                .unavailable,
                "cannot download a kernel for VMs (apt-get download linux-image-cloud-amd64); "
                    + "give the file of such a package: skala kernel add FILE.deb")
        }
        return try add(package: folder + "/" + name)
    }
}
