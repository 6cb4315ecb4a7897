import Base
import Glibc
import Kernel

/// A listening unix socket, with the lock that keeps a second daemon from taking its path.
final class UnixListener: Sendable {
    let path: String
    private let lock: OwnedDescriptor
    private let socket: OwnedDescriptor

    /// Makes the socket: takes the lock `<path>.lock`, replaces a stale socket file, binds, sets mode 0660 and group,
    /// and only then listens, so that nobody connects under looser rights.
    ///
    /// - Throws: `SkalaError` `.invalid` for a path no socket can have (nothing is made then), `.conflict` when another
    ///   daemon serves the path.
    init(path: String, group: String?) throws {
        try UnixListener.check(path)
        self.path = path
        lock = try UnixListener.takeLock(path + ".lock", for: path)
        try UnixListener.removeStaleSocket(path)
        let socket = OwnedDescriptor(
            try checkErrno(
                Glibc.socket(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0), "socket", path))
        _ = try UnixListener.withAddress(of: path) { address, size throws(KernelError) in
            try checkErrno(bind(socket.raw, address, size), "bind", path)
        }
        do {
            let owner = try group.map { try UnixListener.groupID($0) }
            // By path: on the descriptor both calls would change the socket, not the file.
            try checkErrno(chown(path, uid_t.max, owner ?? gid_t.max), "chown", path)
            try checkErrno(chmod(path, 0o660), "chmod", path)
            try checkErrno(listen(socket.raw, 1024), "listen", path)
        } catch {
            unlink(path)
            throw error
        }
        self.socket = socket
    }

    /// The descriptor, for the event loop, which then owns it.
    func takeSocket() -> Int32 { socket.take() }

    /// Removes the socket file, then gives the lock back (the lock's file stays: removing it would let two daemons hold
    /// locks on two files of the same name).
    func close() {
        unlink(path)
        // Said, not left to the close: a child that is just being started holds a copy of the descriptor until its exec.
        flock(lock.raw, LOCK_UN)
        lock.close()
    }

    private static func takeLock(_ file: String, for path: String) throws -> OwnedDescriptor {
        let lock: OwnedDescriptor
        do {
            lock = try OwnedDescriptor.open(file, O_RDWR | O_CREAT, mode: 0o600)
        } catch {
            throw error.asSkalaError
        }
        if flock(lock.raw, LOCK_EX | LOCK_NB) != 0 {
            if errno == EWOULDBLOCK {
                throw SkalaError(.conflict, "another daemon listens on \(path) (it holds \(file))")
            }
            throw KernelError("flock", file, errno: errno).asSkalaError
        }
        return lock
    }

    private static func removeStaleSocket(_ path: String) throws {
        var status = stat()
        guard lstat(path, &status) == 0 else {
            if errno == ENOENT { return }
            throw KernelError("lstat", path, errno: errno).asSkalaError
        }
        guard status.st_mode & S_IFMT == S_IFSOCK else {
            throw SkalaError(.conflict, "\(path) exists and is no socket")
        }
        let probe = OwnedDescriptor(
            try checkErrno(
                Glibc.socket(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue), 0),
                "socket", path))
        let answers = try withAddress(of: path) { address, size throws(KernelError) in
            connect(probe.raw, address, size) == 0 || errno == EAGAIN
        }
        if answers { throw SkalaError(.conflict, "another program listens on \(path)") }
        try checkErrno(unlink(path), "unlink", path)
    }

    /// A socket's path must fit the kernel's address, with the zero behind it.
    private static func check(_ path: String) throws(SkalaError) {
        let longest = MemoryLayout.size(ofValue: sockaddr_un().sun_path) - 1
        guard (1...longest).contains(path.utf8.count), !path.utf8.contains(0) else {
            throw SkalaError(.invalid, "socket path must have 1 to \(longest) bytes: \"\(path)\"")
        }
    }

    /// `path` has been checked.
    private static func withAddress<Value>(
        of path: String, _ body: (UnsafePointer<sockaddr>, socklen_t) throws(KernelError) -> Value
    ) throws -> Value {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
        return try withUnsafePointer(to: &address) { pointer throws(KernelError) in
            try pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { address throws(KernelError) in
                try body(address, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
    }

    private static func groupID(_ group: String) throws -> gid_t {
        if let number = gid_t(group) { return number }
        var entry = Glibc.group()
        var found: UnsafeMutablePointer<Glibc.group>?
        var text = [CChar](repeating: 0, count: 64 << 10)
        let failed = getgrnam_r(group, &entry, &text, text.count, &found)
        guard failed == 0, found != nil else {
            throw SkalaError(.notFound, "no group \"\(group)\" for the API's socket")
        }
        return entry.gr_gid
    }
}
