import Base
import Glibc
import Kernel

/// Held as long as the daemon runs: a second one with the same run folder would take its sockets and namespaces.
struct DaemonLock {
    private let descriptor: OwnedDescriptor

    /// - Throws: `.conflict` when another daemon holds it.
    init(path: String) throws {
        try FileContents.makeDirectories(String(path[..<(path.lastIndex(of: "/") ?? path.startIndex)]), mode: 0o711)
        descriptor = try OwnedDescriptor.open(path, O_RDWR | O_CREAT)
        guard flock(descriptor.raw, LOCK_EX | LOCK_NB) == 0 else {
            throw SkalaError(.conflict, "another skala daemon runs with this run folder (\(path) is locked)")
        }
    }

    func release() {
        // Said, not left to the close: a child that is just being started holds a copy of the descriptor until its exec.
        flock(descriptor.raw, LOCK_UN)
        descriptor.close()
    }
}
