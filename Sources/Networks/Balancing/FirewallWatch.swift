import CLinux
import Glibc
import Kernel

/// Hears when somebody deletes nftables tables (`nft flush ruleset`, a firewall's restart). One thread that sleeps; no
/// polling.
final class FirewallWatch: Sendable {
    // linux/netfilter/nfnetlink.h: the protocol, the group for nftables, and the message that a table is gone.
    private static let netfilter: Int32 = 12
    private static let group: Int32 = 7
    private static let tableDeleted = 10 << 8 | 2
    private static let addMembership: Int32 = 1

    private let socket: OwnedDescriptor
    private let stopping: OwnedDescriptor
    private let thread = WorkerThreads(limit: 1)

    /// - Parameter onDeletion: called on the watch's thread after tables were deleted, by whoever, ours or others.
    init(onDeletion: @escaping @Sendable () -> Void) throws {
        let type = Int32(SOCK_RAW.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
        socket = OwnedDescriptor(
            try checkErrno(Glibc.socket(AF_NETLINK, type, FirewallWatch.netfilter), "socket", "netlink"))
        stopping = OwnedDescriptor(try checkErrno(eventfd(0, Int32(EFD_CLOEXEC)), "eventfd"))
        // Without a port of its own it would hear nothing: struct sockaddr_nl.
        var address = sockaddr_nl()
        address.nl_family = sa_family_t(AF_NETLINK)
        let size = socklen_t(MemoryLayout<sockaddr_nl>.size)
        let descriptor = socket.raw
        let bound = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(descriptor, $0, size) }
        }
        try checkErrno(bound, "bind", "netlink")
        var group = FirewallWatch.group
        // SOL_NETLINK
        try checkErrno(
            setsockopt(socket.raw, 270, FirewallWatch.addMembership, &group, socklen_t(MemoryLayout<Int32>.size)),
            "setsockopt", "nftables' events")
        thread.submit { [socket, stopping] in FirewallWatch.listen(socket, stopping, onDeletion) }
    }

    func stop() { eventfd_write(stopping.raw, 1) }

    private static func listen(_ socket: OwnedDescriptor, _ stopping: OwnedDescriptor, _ report: () -> Void) {
        var buffer = [UInt8](repeating: 0, count: 64 * 1024)
        while true {
            var polled = [socket, stopping].map { pollfd(fd: $0.raw, events: Int16(POLLIN), revents: 0) }
            poll(&polled, 2, -1)
            if polled[1].revents != 0 { return }
            let count = recv(socket.raw, &buffer, buffer.count, Int32(MSG_DONTWAIT))
            // More at once than there is room for: it may have been among them.
            if count < 0, errno == ENOBUFS { report() }
            if count > 0, hasDeletion(buffer[..<count]) { report() }
        }
    }

    /// Whether one of the messages (`struct nlmsghdr`) says that a table is gone.
    static func hasDeletion(_ messages: ArraySlice<UInt8>) -> Bool {
        var rest = messages
        while rest.count >= 16 {
            let start = rest.startIndex
            let length = Int(rest[start]) | Int(rest[start + 1]) << 8 | Int(rest[start + 2]) << 16
            guard length >= 16 else { return false }
            if Int(rest[start + 4]) | Int(rest[start + 5]) << 8 == tableDeleted { return true }
            rest = rest.dropFirst((length + 3) & ~3)
        }
        return false
    }
}
