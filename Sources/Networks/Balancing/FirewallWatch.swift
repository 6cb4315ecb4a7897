import CLinux
import Glibc
import Kernel

/// Hears when somebody else changes our nftables tables: deletes one (`nft flush ruleset`, a firewall's restart), or a chain,
/// a rule, a map or an element in it. One thread that sleeps; no polling.
///
/// The kernel tells every transaction: what it changed, and then the name of the thread that made it. Ours are made by a thread
/// with a name of its own.
final class FirewallWatch: Sendable {
    // linux/netfilter/nfnetlink.h: the protocol, and the group for nftables.
    private static let netfilter: Int32 = 12
    private static let group: Int32 = 7
    private static let addMembership: Int32 = 1
    /// As much as waits in the kernel: a transaction of thousands of elements comes at once.
    private static let bufferBytes: Int32 = 8 << 20

    enum Change: Sendable {
        /// One of our tables is not as we made it.
        case byOthers
        /// More happened at once than the kernel keeps for us: it may have been among it.
        case unknown
    }

    private let socket: OwnedDescriptor
    private let stopping: OwnedDescriptor
    private let thread = WorkerThreads(limit: 1)

    /// - Parameters:
    ///   - tables: the names of ours.
    ///   - author: the name of the thread that changes them for us.
    ///   - onChange: called on the watch's thread.
    init(tables: Set<String>, author: String, onChange: @escaping @Sendable (Change) -> Void) throws {
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
        var room = FirewallWatch.bufferBytes
        // Without the right to more than others it has what others have.
        setsockopt(socket.raw, SOL_SOCKET, SO_RCVBUFFORCE, &room, socklen_t(MemoryLayout<Int32>.size))
        let transactions = Transactions(tables: tables, author: author)
        thread.submit { [socket, stopping] in FirewallWatch.listen(socket, stopping, transactions, onChange) }
    }

    func stop() { eventfd_write(stopping.raw, 1) }

    private static func listen(
        _ socket: OwnedDescriptor, _ stopping: OwnedDescriptor, _ transactions: Transactions,
        _ report: (Change) -> Void
    ) {
        var transactions = transactions
        var buffer = [UInt8](repeating: 0, count: 64 * 1024)
        while true {
            var polled = [socket, stopping].map { pollfd(fd: $0.raw, events: Int16(POLLIN), revents: 0) }
            poll(&polled, 2, -1)
            if polled[1].revents != 0 { return }
            let count = recv(socket.raw, &buffer, buffer.count, Int32(MSG_DONTWAIT))
            if count < 0, errno == ENOBUFS { report(.unknown) }
            if count > 0, transactions.take(buffer[..<count]) { report(.byOthers) }
        }
    }

    /// Reads the kernel's messages (`struct nlmsghdr`, `struct nfgenmsg`, attributes).
    struct Transactions: Sendable {
        // linux/netfilter/nf_tables.h
        private static let subsystem = 10
        private static let newGeneration = 15
        /// Of nearly all messages; of a generation its number.
        private static let tableName = 1
        private static let processName = 3

        let tables: Set<String>
        let author: String
        /// What the transaction under way has changed is ours.
        private var concernsUs = false

        init(tables: Set<String>, author: String) {
            self.tables = tables
            self.author = author
        }

        /// - Returns: whether a transaction of somebody else that changed our tables has ended among the messages.
        mutating func take(_ messages: ArraySlice<UInt8>) -> Bool {
            var isForeign = false
            var rest = messages
            while rest.count >= 16 {
                let start = rest.startIndex
                let length = Int(rest[start]) | Int(rest[start + 1]) << 8 | Int(rest[start + 2]) << 16
                guard length >= 16 else { break }
                let message = rest.prefix(length)
                if Int(rest[start + 5]) == Transactions.subsystem {
                    if Int(rest[start + 4]) == Transactions.newGeneration {
                        if concernsUs, Transactions.text(Transactions.processName, message) != author {
                            isForeign = true
                        }
                        concernsUs = false
                    } else if let table = Transactions.text(Transactions.tableName, message), tables.contains(table) {
                        concernsUs = true
                    }
                }
                rest = rest.dropFirst((length + 3) & ~3)
            }
            return isForeign
        }

        /// A text among the attributes, which stand behind both headers.
        private static func text(_ type: Int, _ message: ArraySlice<UInt8>) -> String? {
            var rest = message.dropFirst(20)
            while rest.count >= 4 {
                let start = rest.startIndex
                let length = Int(rest[start]) | Int(rest[start + 1]) << 8
                guard length >= 4 else { return nil }
                if (Int(rest[start + 2]) | Int(rest[start + 3]) << 8) & 0x3FFF == type {
                    return String(decoding: rest.prefix(length).dropFirst(4).prefix { $0 != 0 }, as: UTF8.self)
                }
                rest = rest.dropFirst((length + 3) & ~3)
            }
            return nil
        }
    }
}
