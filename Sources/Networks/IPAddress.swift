import Base
import Glibc

/// Version 4 or 6 of the Internet Protocol.
public enum IPFamily: Sendable, Hashable {
    case v4, v6

    var bits: UInt8 { self == .v4 ? 32 : 128 }
    var byteCount: Int { self == .v4 ? 4 : 16 }
    var socketFamily: Int32 { self == .v4 ? AF_INET : AF_INET6 }
}

/// An IPv4 or IPv6 address as a number in host order.
public struct IPAddress: Sendable, Hashable, Comparable, CustomStringConvertible {
    public let family: IPFamily
    public let value: UInt128

    public init(_ family: IPFamily, _ value: UInt128) {
        self.family = family
        self.value = value
    }

    /// Parses `172.17.0.1` or `fd00::1` (RFC 4291; no zone).
    ///
    /// - Throws: `.invalid` naming the text.
    public init(parsing text: String) throws(SkalaError) {
        let family: IPFamily = text.contains(":") ? .v6 : .v4
        var bytes = [UInt8](repeating: 0, count: family.byteCount)
        guard !text.utf8.contains(0), inet_pton(family.socketFamily, text, &bytes) == 1 else {
            throw SkalaError(.invalid, "invalid IP address: '\(text)'")
        }
        self.init(family, bytes.reduce(0) { $0 << 8 | UInt128($1) })
    }

    public static func < (a: IPAddress, b: IPAddress) -> Bool { a.value < b.value }

    /// In network order.
    public var bytes: [UInt8] {
        (0..<family.byteCount).reversed().map { UInt8(truncatingIfNeeded: value >> UInt128($0 * 8)) }
    }

    /// RFC 5952: the shortest form.
    public var description: String {
        var text = [CChar](repeating: 0, count: Int(INET6_ADDRSTRLEN))
        guard inet_ntop(family.socketFamily, bytes, &text, socklen_t(text.count)) != nil else { return "" }
        return String(decoding: text.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
    }
}

/// An IPv4 or IPv6 network: `172.17.0.0/16`, `fd00::/64`.
public struct IPNetwork: Sendable, Hashable, CustomStringConvertible {
    public let base: IPAddress
    public let prefix: UInt8

    /// The network that `address` is in.
    public init(containing address: IPAddress, prefix: UInt8) {
        self.prefix = prefix
        base = IPAddress(address.family, address.value & IPNetwork.mask(address.family, prefix))
    }

    /// - Throws: `.invalid` naming the text.
    public init(parsing text: String) throws(SkalaError) {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
        // Digits only: UInt8's own parser takes a sign and leading zeros.
        guard parts.count == 2, let prefix = UInt8(parts[1]), String(prefix) == parts[1] else {
            throw SkalaError(.invalid, "invalid network: '\(text)': expected address/prefix")
        }
        let address = try IPAddress(parsing: parts[0])
        guard prefix <= address.family.bits else {
            throw SkalaError(.invalid, "invalid network: '\(text)': the prefix is at most \(address.family.bits)")
        }
        self.init(containing: address, prefix: prefix)
    }

    private static func mask(_ family: IPFamily, _ prefix: UInt8) -> UInt128 {
        guard prefix > 0 else { return 0 }
        let all = family == .v4 ? UInt128(UInt32.max) : UInt128.max
        let free = UInt128(family.bits - prefix)
        return (all >> free) << free
    }

    public var family: IPFamily { base.family }
    public var last: IPAddress {
        let all = IPNetwork.mask(family, family.bits)
        return IPAddress(family, base.value | (all & ~IPNetwork.mask(family, prefix)))
    }
    /// The first address a host may have.
    public var first: IPAddress { IPAddress(family, base.value + 1) }

    public func contains(_ address: IPAddress) -> Bool {
        address.family == family && address.value & IPNetwork.mask(family, prefix) == base.value
    }
    public func overlaps(_ other: IPNetwork) -> Bool { contains(other.base) || other.contains(base) }
    public var description: String { "\(base)/\(prefix)" }
}
