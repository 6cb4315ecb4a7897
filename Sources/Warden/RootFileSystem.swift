import Base

/// The layers of a container's root: an overlay mounted in its own mount namespace.
struct RootFileSystem {
    var lower: [String]
    var upper: String?
    var work: String?

    /// - Throws: `.invalid` for paths that are not absolute or hold characters overlayfs gives a meaning.
    init(_ json: JSON) throws(SkalaError) {
        guard let lower = json["lower"].strings, !lower.isEmpty, lower.count <= 500 else {
            throw SkalaError(.invalid, "rootfs.lower must name 1 to 500 directories")
        }
        self.lower = lower
        upper = json["upper"].string
        work = json["work"].string
        guard (upper == nil) == (work == nil) else {
            throw SkalaError(.invalid, "rootfs.upper and rootfs.work go together")
        }
        for path in lower + [upper, work].compactMap({ $0 }) {
            guard path.hasPrefix("/"), !path.utf8.contains(0), !path.contains(where: { ",:\\".contains($0) }) else {
                throw SkalaError(.invalid, "rootfs: not an absolute path without ',', ':' and '\\': '\(path)'")
            }
        }
    }

    /// The options for mount(2), for kernels without `lowerdir+`.
    var mountData: String {
        var data = "lowerdir=" + lower.joined(separator: ":")
        if let upper, let work { data += ",upperdir=\(upper),workdir=\(work)" }
        return data
    }

    /// Any directory of the host will do: the mount is seen in the container's mount namespace only.
    var mountPoint: String { upper ?? lower[0] }
}
