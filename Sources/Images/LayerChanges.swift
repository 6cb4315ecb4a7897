import CLinux
import Glibc
import Kernel
import CCurl
import CCrypto
import CArchive

/// What a container changed: `docker diff`. Blocking.
public enum LayerChanges {
    /// - Parameters:
    ///   - upper: overlayfs' upper folder.
    ///   - lower: the image's layers.
    /// - Returns: paths in order; kind 0 changed, 1 added, 2 deleted.
    public static func changes(upper: String, lower: [String]) throws -> [(path: String, kind: Int)] {
        var changes: [(path: String, kind: Int)] = []
        var folders = [""]
        while let folder = folders.popLast() {
            for name in try FileContents.names(in: upper + folder) {
                let path = folder + "/" + name
                var status = stat()
                guard lstat(upper + path, &status) == 0 else { continue }
                if status.st_mode & S_IFMT == S_IFCHR, status.st_rdev == 0 {
                    changes.append((path, 2))
                    continue
                }
                changes.append((path, isBelow(path, lower) ? 0 : 1))
                if status.st_mode & S_IFMT == S_IFDIR { folders.append(path) }
            }
        }
        return changes.sorted { $0.path < $1.path }
    }

    /// Whether any layer has the path, before one hides it.
    private static func isBelow(_ path: String, _ layers: [String]) -> Bool {
        for layer in layers {
            var status = stat()
            if lstat(layer + path, &status) == 0 { return !(status.st_mode & S_IFMT == S_IFCHR && status.st_rdev == 0) }
        }
        return false
    }
}
