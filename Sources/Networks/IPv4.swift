import Base

/// An IPv4 address as a number in host order.
public struct IPv4Address: Sendable, Hashable, Comparable, CustomStringConvertible {
    public let value: UInt32

    public init(_ value: UInt32) { self.value = value }

    /// - Throws: `.invalid` naming the text.
    public init(parsing text: String) throws(SkalaError) {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        var value: UInt32 = 0
        for part in parts {
            guard parts.count == 4, let byte = UInt8(part), part.allSatisfy(\.isNumber) else {
                throw SkalaError(.invalid, "invalid IPv4 address: '\(text)'")
            }
            value = value << 8 | UInt32(byte)
        }
        self.value = value
    }

    public static func < (a: IPv4Address, b: IPv4Address) -> Bool { a.value < b.value }

    /// In network order.
    public var bytes: [UInt8] { withUnsafeBytes(of: value.bigEndian) { Array($0) } }

    public var description: String { bytes.map(String.init).joined(separator: ".") }
}

/// An IPv4 network: `172.17.0.0/16`.
public struct IPv4Network: Sendable, Hashable, CustomStringConvertible {
    public let base: IPv4Address
    public let prefix: UInt8

    public init(base: IPv4Address, prefix: UInt8) {
        self.prefix = prefix
        self.base = IPv4Address(base.value & IPv4Network.mask(prefix))
    }

    /// - Throws: `.invalid` naming the text.
    public init(parsing text: String) throws(SkalaError) {
        let parts = text.split(separator: "/").map(String.init)
        guard parts.count == 2, let prefix = UInt8(parts[1]), prefix <= 32 else {
            throw SkalaError(.invalid, "invalid network: '\(text)': expected address/prefix")
        }
        self.init(base: try IPv4Address(parsing: parts[0]), prefix: prefix)
    }

    private static func mask(_ prefix: UInt8) -> UInt32 { prefix == 0 ? 0 : ~UInt32(0) << (32 - UInt32(prefix)) }

    public var last: IPv4Address { IPv4Address(base.value | ~IPv4Network.mask(prefix)) }
    public func contains(_ address: IPv4Address) -> Bool { address.value & IPv4Network.mask(prefix) == base.value }
    public func overlaps(_ other: IPv4Network) -> Bool { contains(other.base) || other.contains(base) }
    public var description: String { "\(base)/\(prefix)" }
}

/// Hands out the addresses of one network, each to one owner, in order and round again, so that an address that was
/// just freed is used again last.
struct AddressPool {
    let network: IPv4Network
    private let range: ClosedRange<UInt32>
    private var used: Set<UInt32>
    private var next: UInt32

    /// - Parameter range: a part of the network to take addresses from.
    init(network: IPv4Network, range: IPv4Network? = nil, reserved: [IPv4Address]) {
        self.network = network
        let part = range ?? network
        // The first address names the network, the last is its broadcast address.
        let low = max(part.base.value, network.base.value + 1)
        let high = min(part.last.value, network.last.value - 1)
        self.range = low...max(low, high)
        used = Set(reserved.map(\.value))
        next = low
    }

    /// - Throws: `.exhausted` with Docker's text.
    mutating func take() throws(SkalaError) -> IPv4Address {
        for _ in range {
            let candidate = next
            next = next == range.upperBound ? range.lowerBound : next + 1
            if used.insert(candidate).inserted { return IPv4Address(candidate) }
        }
        throw SkalaError(.exhausted, "no available IPv4 addresses on this network's address pools: \(network)")
    }

    /// - Throws: `.conflict` when it is taken, `.invalid` when it is not in the network.
    mutating func take(_ address: IPv4Address) throws(SkalaError) {
        guard network.contains(address) else {
            throw SkalaError(.invalid, "invalid address \(address): it does not belong to \(network)")
        }
        guard used.insert(address.value).inserted else { throw SkalaError(.conflict, "Address already in use") }
    }

    mutating func free(_ address: IPv4Address) { used.remove(address.value) }
}
