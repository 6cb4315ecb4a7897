import CLinux
import Glibc
import Synchronization
import CSeccomp

/// One request of the kernel's route netlink protocol (rtnetlink(7)), built attribute by attribute.
public struct NetlinkMessage {
    private(set) var bytes: [UInt8]

    /// - Parameters:
    ///   - type: `RTM_NEWLINK` and so on.
    ///   - flags: added to `NLM_F_REQUEST`.
    ///   - header: the fixed structure that follows: `ifinfomsg`, `ifaddrmsg`, `rtmsg`.
    public init(type: UInt16, flags: UInt16, header: [UInt8]) {
        bytes = [0, 0, 0, 0]
        append(type)
        append(flags | UInt16(NLM_F_REQUEST))
        append(UInt32(0))
        append(UInt32(0))
        bytes += header
        pad()
    }

    public mutating func add(_ type: Int, bytes value: [UInt8]) {
        append(UInt16(value.count + 4))
        append(UInt16(type))
        bytes += value
        pad()
    }

    public mutating func add(_ type: Int, string: String) { add(type, bytes: Array(string.utf8) + [0]) }

    public mutating func add(_ type: Int, number: UInt32) {
        add(type, bytes: withUnsafeBytes(of: number) { Array($0) })
    }

    /// An attribute that holds attributes.
    public mutating func add(_ type: Int, _ body: (inout NetlinkMessage) -> Void) {
        let start = bytes.count
        append(UInt16(0))
        append(UInt16(type))
        body(&self)
        let length = UInt16(bytes.count - start)
        withUnsafeBytes(of: length) { bytes.replaceSubrange(start..<start + 2, with: $0) }
    }

    /// Raw bytes inside an attribute: the `ifinfomsg` of a veth's peer.
    public mutating func append(raw: [UInt8]) {
        bytes += raw
        pad()
    }

    /// The message as it is sent, with its length and a number that the answer repeats.
    public func encoded(sequence: UInt32) -> [UInt8] {
        var encoded = bytes
        withUnsafeBytes(of: UInt32(bytes.count)) { encoded.replaceSubrange(0..<4, with: $0) }
        withUnsafeBytes(of: sequence) { encoded.replaceSubrange(8..<12, with: $0) }
        return encoded
    }

    private mutating func append<Number: FixedWidthInteger>(_ number: Number) {
        withUnsafeBytes(of: number) { bytes += $0 }
    }

    private mutating func pad() { while bytes.count % 4 != 0 { bytes.append(0) } }
}

/// What a dump answered: one object of the kernel with its attributes.
public struct NetlinkObject {
    /// The fixed structure, as bytes.
    public let header: [UInt8]
    public let attributes: [Int: [UInt8]]

    public func string(_ type: Int) -> String? {
        attributes[type].map { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
    }

    public func number(_ type: Int) -> UInt32? { attributes[type].flatMap { NetlinkObject.number($0, at: 0) } }

    static func number(_ bytes: [UInt8], at offset: Int) -> UInt32? {
        guard offset >= 0, offset + 4 <= bytes.count else { return nil }
        return bytes.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: offset, as: UInt32.self) }
    }

    /// Splits attributes; stops at what is malformed.
    public static func parse(_ bytes: ArraySlice<UInt8>) -> [Int: [UInt8]] {
        var attributes: [Int: [UInt8]] = [:]
        var rest = bytes
        while rest.count >= 4 {
            let start = rest.startIndex
            let length = Int(rest[start]) | Int(rest[start + 1]) << 8
            // The two top bits say "nested" and "network byte order".
            let type = (Int(rest[start + 2]) | Int(rest[start + 3]) << 8) & 0x3FFF
            guard length >= 4, length <= rest.count else { break }
            attributes[type] = Array(rest[(start + 4)..<(start + length)])
            rest = rest.dropFirst((length + 3) & ~3)
        }
        return attributes
    }
}

/// A netlink socket, of the route protocol if not said otherwise. It stays in the network namespace it was opened in. Threads take turns: one asks when another
/// has its answer.
public final class NetlinkSocket: Sendable {
    private static let dumpAttempts = 20

    private let descriptor: OwnedDescriptor
    /// The number of the last request.
    private let sequence = Mutex(UInt32(0))

    /// - Parameter number: netlink's protocol.
    public init(protocol number: Int32 = NETLINK_ROUTE) throws(KernelError) {
        let type = Int32(SOCK_RAW.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
        descriptor = OwnedDescriptor(try checkErrno(socket(AF_NETLINK, type, number), "socket", "netlink"))
        // A kernel that does not answer must not hang us.
        var limit = timeval(tv_sec: 10, tv_usec: 0)
        setsockopt(descriptor.raw, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
    }

    /// Sends a request and waits for the kernel's acknowledgement.
    ///
    /// - Throws: `KernelError` with `operation` and `subject`, and the kernel's error.
    public func request(_ message: NetlinkMessage, _ operation: String, _ subject: String) throws(KernelError) {
        _ = try exchange(message, flags: UInt8(NLM_F_ACK), operation, subject)
    }

    /// Asks for all objects of a kind.
    ///
    /// - Throws: `KernelError`; `EINTR` when they change faster than they can be listed.
    public func dump(_ message: NetlinkMessage, headerSize: Int, _ operation: String) throws(KernelError)
        -> [NetlinkObject]
    {
        for _ in 0..<NetlinkSocket.dumpAttempts {
            // Some may be missing of a list that something changed meanwhile.
            guard let payloads = try exchange(message, flags: 0, operation, "") else { continue }
            return payloads.map { payload in
                let header = Array(payload.prefix(headerSize))
                return NetlinkObject(
                    header: header, attributes: NetlinkObject.parse(payload.dropFirst((headerSize + 3) & ~3)))
            }
        }
        throw KernelError(operation, "", errno: EINTR)
    }

    /// - Returns: the payloads of the answer; nil when the kernel says that they do not fit together.
    private func exchange(
        _ message: NetlinkMessage, flags: UInt8, _ operation: String, _ subject: String
    ) throws(KernelError) -> [ArraySlice<UInt8>]? {
        try sequence.withLock { last throws(KernelError) in
            last &+= 1
            var encoded = message.encoded(sequence: last)
            encoded[6] |= flags
            let count = encoded.withUnsafeBytes { Glibc.send(descriptor.raw, $0.baseAddress, $0.count, 0) }
            try checkErrno(count, operation, subject)
            return try receive(last, operation, subject)
        }
    }

    /// The payloads up to the end of the dump, or up to the acknowledgement.
    private func receive(
        _ sequence: UInt32, _ operation: String, _ subject: String
    ) throws(KernelError) -> [ArraySlice<UInt8>]? {
        var payloads: [ArraySlice<UInt8>] = []
        var isWhole = true
        var buffer = [UInt8](repeating: 0, count: 64 * 1024)
        while true {
            let count = buffer.withUnsafeMutableBytes { recv(descriptor.raw, $0.baseAddress, $0.count, 0) }
            if count < 0, errno == EINTR { continue }
            try checkErrno(count, operation, subject)
            var offset = 0
            while offset + 16 <= count, let length = NetlinkObject.number(buffer, at: offset).map(Int.init),
                length >= 16, offset + length <= count
            {
                defer { offset += (length + 3) & ~3 }
                // The late answer to a request that was given up.
                guard NetlinkObject.number(buffer, at: offset + 8) == sequence else { continue }
                let type = Int32(buffer[offset + 4]) | Int32(buffer[offset + 5]) << 8
                if buffer[offset + 6] & UInt8(NLM_F_DUMP_INTR) != 0 { isWhole = false }
                let payload = buffer[(offset + 16)..<(offset + length)]
                if type == NLMSG_DONE { return isWhole ? payloads : nil }
                if type == NLMSG_ERROR {
                    let code = NetlinkObject.number(Array(payload), at: 0).map { Int32(bitPattern: $0) } ?? -EIO
                    if code == 0 { return payloads }
                    throw KernelError(operation, subject, errno: -code)
                }
                payloads.append(payload)
            }
        }
    }
}
