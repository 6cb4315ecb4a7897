import CLinux
import Glibc

/// Network namespaces kept alive by a bind mount, so that they need no process. Blocking.
///
/// All calls run on one thread that belongs to this pool: a namespace is a property of a thread, and a thread of the
/// concurrency pool must never change its own.
public final class NetworkNamespaces: Sendable {
    private let thread = WorkerThreads(limit: 1)
    private let host: OwnedDescriptor

    public init() throws(KernelError) {
        host = try OwnedDescriptor.open("/proc/self/ns/net", O_RDONLY)
    }

    /// Makes a namespace with its loopback interface up and mounts it at `path`.
    ///
    /// - Returns: a netlink socket inside it, and the namespace itself.
    public func create(at path: String) async throws -> (socket: NetlinkSocket, namespace: OwnedDescriptor) {
        let host = host
        return try await thread.run {
            OwnedDescriptor(try check(cl_open(path, O_RDONLY | O_CREAT | O_EXCL, 0o400), "create", path)).close()
            do {
                try check(cl_unshare(CLONE_NEWNET), "unshare", "network")
                defer { NetworkNamespaces.enter(host) }
                try checkErrno(
                    mount("/proc/thread-self/ns/net", path, nil, UInt(MS_BIND), nil), "mount", path)
                let socket = try NetlinkSocket()
                try socket.setUp("lo")
                return (socket, try OwnedDescriptor.open(path, O_RDONLY))
            } catch {
                NetworkNamespaces.remove(at: path)
                throw error
            }
        }
    }

    /// A netlink socket inside an existing namespace, for instance one made by an earlier daemon.
    public func open(_ path: String) async throws -> (socket: NetlinkSocket, namespace: OwnedDescriptor) {
        let host = host
        return try await thread.run {
            let namespace = try OwnedDescriptor.open(path, O_RDONLY)
            try check(cl_setns(namespace.raw, CLONE_NEWNET), "setns", path)
            defer { NetworkNamespaces.enter(host) }
            return (try NetlinkSocket(), namespace)
        }
    }

    /// Unmounts a namespace. When no process is in it the kernel frees it, and the interfaces in it, in the background.
    ///
    /// - Returns: whether nothing is left at the path.
    @discardableResult
    public static func remove(at path: String) -> Bool {
        umount2(path, Int32(MNT_DETACH))
        return unlink(path) == 0 || errno == ENOENT
    }

    private static func enter(_ namespace: OwnedDescriptor) {
        let status = cl_setns(namespace.raw, CLONE_NEWNET)
        precondition(status == 0, "cannot return to the host's network namespace: error \(-status)")
    }
}
