import Base
import Glibc
import Kernel

/// The lab's folder: `runs`, in `images` the files of images for processes of the host, and in `machines` what machines boot from.
public struct LabHome: Sendable {
    public let path: String

    public init(_ path: String) { self.path = path }

    var runs: String { path + "/runs" }
    var images: String { path + "/images" }
    var machines: String { path + "/machines" }

    /// Keeps others away while something is measured or removed, until it is closed.
    ///
    /// - Parameter folder: the lab's, or another by which those who must not meet know each other.
    /// - Throws: `.conflict` when a run is under way.
    static func lock(_ folder: String) throws -> OwnedDescriptor {
        let lock = try OwnedDescriptor.open(folder, O_RDONLY)
        guard flock(lock.raw, LOCK_EX | LOCK_NB) == 0 else {
            throw SkalaError(
                .conflict, "another run of the lab is under way, with this folder or this engine (\(folder))")
        }
        return lock
    }

    /// Removes a run with its samples and its report.
    ///
    /// - Throws: `.notFound`; `.conflict` when it is under way.
    public static func remove(_ run: RunFolder) throws {
        let record = try run.read().record
        if record["state"] == "running" {
            // One that died says so for ever, and holds nothing.
            let home = run.path.split(separator: "/", omittingEmptySubsequences: false).dropLast(2)
            do { try lock(home.isEmpty ? "." : home.joined(separator: "/")).close() } catch let error as SkalaError {
                throw SkalaError(error.code, "run \(run.identifier) is under way", cause: error)
            }
        }
        try FileContents.removeTree(run.path)
    }
}
