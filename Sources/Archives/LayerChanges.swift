import Base
import CLinux
import Glibc
import Kernel

/// What a container changed: `docker diff`. Blocking.
///
/// Walks open folders, not paths: names need not be UTF-8, and paths may be longer than any the kernel takes.
public enum LayerChanges {
    /// Folders below each other that are looked into: as many as an archive of them may have.
    private static let depthLimit = 1000

    /// - Parameters:
    ///   - upper: overlayfs' upper folder.
    ///   - lower: the image's layers, topmost first.
    /// - Returns: paths in the order of their bytes; what of a path is no UTF-8 is replaced, as it is in all JSON. Kind 0
    ///   is changed, 1 added, 2 deleted.
    public static func changes(upper: String, lower: [String]) throws -> [(path: String, kind: Int)] {
        let layers = try lower.map { try OwnedDescriptor.open($0, CL_O_PATH | CL_O_DIRECTORY) }
        var changes: [(path: [UInt8], kind: Int)] = []
        try walk(OwnedDescriptor.open(upper, O_RDONLY | CL_O_DIRECTORY), layers, [], 0, &changes)
        return changes.sorted { $0.path.lexicographicallyPrecedes($1.path) }
            .map { (String(decoding: $0.path, as: UTF8.self), $0.kind) }
    }

    /// - Parameter lower: the same folder of each layer that shows through.
    private static func walk(
        _ folder: OwnedDescriptor, _ lower: [OwnedDescriptor], _ path: [UInt8], _ depth: Int,
        _ changes: inout [(path: [UInt8], kind: Int)]
    ) throws {
        let text = String(decoding: path, as: UTF8.self)
        guard depth <= depthLimit else {
            throw SkalaError(.invalid, "folders are nested deeper than \(depthLimit): \(text.prefix(80))…")
        }
        for name in try FileContents.names(in: folder.raw, text) {
            // What vanishes meanwhile is not there.
            guard let file = OverlayFile(name, in: folder.raw) else { continue }
            let child = path + [UInt8(ascii: "/")] + name.dropLast().map(UInt8.init(bitPattern:))
            if file.isWhiteout {
                changes.append((child, 2))
                continue
            }
            changes.append((child, isShown(name, lower) ? 0 : 1))
            guard file.isFolder, let below = try OverlayFile.open(name, in: folder.raw, text) else { continue }
            let shown = OverlayFile.isOpaque(below.raw) ? [] : try folders(name, lower)
            try walk(below, shown, child, depth + 1, &changes)
        }
    }

    /// Whether the topmost of the folders that knows the name has it, and not its removal.
    private static func isShown(_ name: [CChar], _ folders: [OwnedDescriptor]) -> Bool {
        for folder in folders {
            if let file = OverlayFile(name, in: folder.raw) { return !file.isWhiteout }
        }
        return false
    }

    /// The folders of that name that show through, topmost first.
    private static func folders(_ name: [CChar], _ above: [OwnedDescriptor]) throws -> [OwnedDescriptor] {
        var found: [OwnedDescriptor] = []
        for folder in above {
            guard let file = OverlayFile(name, in: folder.raw) else { continue }
            guard file.isFolder, let below = try OverlayFile.open(name, in: folder.raw, "a layer") else { break }
            found.append(below)
            if OverlayFile.isOpaque(below.raw) { break }
        }
        return found
    }
}
