import Archives
import CLinux
import Glibc
import Kernel

/// Copies what an image has at a path into a new, empty volume, as Docker does when a volume is first used.
///
/// Names are taken as the kernel has them: they need not be UTF-8.
struct CopyUp {
    /// Unpacked layers, topmost first.
    let layers: [String]
    let path: String

    /// Blocking. Does nothing when the volume has something in it, or the image nothing at the path.
    func copy(into target: String) throws(KernelError) {
        let volume = try OwnedDescriptor.open(target, O_RDONLY | CL_O_DIRECTORY)
        guard try FileContents.names(in: volume.raw, target).isEmpty else { return }
        // From the lowest up, as if each layer were unpacked over those before.
        for source in try sources().reversed() {
            try makeRoom(for: source.raw, in: volume.raw)
            // coreutils keeps owners, modes, times, links, sparse files and extended attributes.
            let status = try Subprocess.run(
                ["/bin/cp", "-a", "-T", "--remove-destination", "/proc/self/fd/3/.", target], inheriting: source.raw)
            guard status == 0 else { throw KernelError("cp -a", path, errno: EIO) }
            try removeMarks(of: source.raw, from: volume.raw)
        }
    }

    /// The folder of each layer that shows at the path, topmost first. Links are resolved inside each layer, so that
    /// nothing outside the image is reached.
    private func sources() throws(KernelError) -> [OwnedDescriptor] {
        var found: [OwnedDescriptor] = []
        for layer in layers {
            let root = try OwnedDescriptor.open(layer, CL_O_PATH | CL_O_DIRECTORY)
            var hidesLower = false
            let components = path.split(separator: "/")
            for count in components.indices {
                let prefix = "/" + components[...count].joined(separator: "/")
                let opened = cl_openat2(root.raw, prefix, UInt64(CL_O_PATH), 0, UInt64(RESOLVE_IN_ROOT))
                guard opened >= 0 else { break }
                let file = OwnedDescriptor(opened)
                var status = stat()
                try checkErrno(fstat(file.raw, &status), "fstat", prefix)
                guard status.st_mode & S_IFMT == S_IFDIR else {
                    // Removed, or a file in the place of the folder.
                    hidesLower = true
                    break
                }
                let folder = OwnedDescriptor(
                    try check(cl_openat(file.raw, ".", O_RDONLY | CL_O_DIRECTORY, 0), "open", prefix))
                hidesLower = hidesLower || OverlayFile.isOpaque(folder.raw)
                if count == components.count - 1 { found.append(folder) }
            }
            if hidesLower { break }
        }
        return found
    }

    /// Removes from the volume what a layer hides, or has something of another kind for: cp does not.
    private func makeRoom(for source: Int32, in target: Int32) throws(KernelError) {
        for name in try FileContents.names(in: source, path) {
            guard let file = OverlayFile(name, in: source), let old = OverlayFile(name, in: target) else { continue }
            let below = file.isFolder ? try OverlayFile.open(name, in: source, path) : nil
            defer { below?.close() }
            let isHidden = file.isWhiteout || below.map { OverlayFile.isOpaque($0.raw) } ?? false
            if isHidden || file.isFolder != old.isFolder {
                try FileContents.removeTree(name, in: target, path)
            } else if let below, let folder = try OverlayFile.open(name, in: target, path) {
                defer { folder.close() }
                try makeRoom(for: below.raw, in: folder.raw)
            }
        }
    }

    /// Removes the marks of overlayfs that were copied: in a volume they mean nothing.
    private func removeMarks(of source: Int32, from target: Int32) throws(KernelError) {
        if OverlayFile.isOpaque(source) { fremovexattr(target, "trusted.overlay.opaque") }
        for name in try FileContents.names(in: source, path) {
            guard let file = OverlayFile(name, in: source) else { continue }
            if file.isWhiteout { try FileContents.removeTree(name, in: target, path) }
            guard file.isFolder, let below = try OverlayFile.open(name, in: source, path),
                let folder = try OverlayFile.open(name, in: target, path)
            else { continue }
            defer {
                below.close()
                folder.close()
            }
            try removeMarks(of: below.raw, from: folder.raw)
        }
    }
}
