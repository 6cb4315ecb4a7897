import Base
import CLinux
import Glibc
import Kernel
import Machines

/// The disk in an image, as "container disks" have it: one file in the folder `/disk`.
struct ImageDisk {
    let path: String
    let format: DiskFormat

    private static let folder = "disk"

    /// Looks in the layers, topmost first. Blocking.
    ///
    /// - Throws: `.invalid` when there is none, or it is one that is not run.
    init(layers: [String]) throws {
        for layer in layers {
            let root = try OwnedDescriptor.open(layer, O_RDONLY | CL_O_DIRECTORY)
            // Not through links: what a stranger's image leads to is not its own.
            let flags = UInt64(RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS)
            let found = cl_openat2(root.raw, ImageDisk.folder, UInt64(O_RDONLY | CL_O_DIRECTORY), 0, flags)
            guard found >= 0 else { continue }
            let folder = OwnedDescriptor(found)
            let names = try FileContents.names(in: folder.raw, layer).map { name in
                String(decoding: name.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
            }
            let files = names.filter { !$0.hasPrefix(".") }
            guard files.count == 1, let name = files.first else {
                throw SkalaError(.invalid, "the image has \(files.count) files in /disk: a machine boots from one")
            }
            let opened = cl_openat2(folder.raw, name, UInt64(O_RDONLY | O_NONBLOCK), 0, flags)
            let file = OwnedDescriptor(try check(opened, "open", "/disk/" + name))
            do {
                format = try DiskFormat(of: file)
            } catch let error as SkalaError { throw error.within("the image's /disk/\(name)") }
            path = "\(layer)/\(ImageDisk.folder)/\(name)"
            return
        }
        throw SkalaError(
            .invalid, "the image has no disk in /disk to boot a machine from (see skala machine import)")
    }
}
