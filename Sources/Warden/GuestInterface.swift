import Base
import Glibc
import Kernel

/// A network interface of a VM, as the engine wants it.
struct GuestInterface {
    /// The address the VM's card was made with, which names it.
    let hardware: [UInt8]
    private let json: JSON

    init(_ json: JSON) throws(SkalaError) {
        self.json = json
        hardware = try GuestInterface.mac(json["hardware"])
    }

    /// Gives it its name, hardware address, addresses and route, as far as they are given.
    func configure(_ link: NetworkInterface, _ netlink: NetlinkSocket) throws {
        let name = json["name"].string ?? link.name
        // Takes all of its addresses and routes away; the link-local one is made anew of the new hardware address.
        if json["clear"].bool == true {
            try SmallFile.write("1", to: "/proc/sys/net/ipv6/conf/\(link.name)/disable_ipv6")
        }
        if !json["mac"].isNull {
            if name != link.name, let other = try netlink.links().first(where: { $0.name == name }) {
                // The kernel named the cards in another order; that one is configured next.
                try netlink.setAside(other, as: "card\(other.index)")
            }
            try netlink.change(link, name: name, address: try GuestInterface.mac(json["mac"]))
        }
        if json["clear"].bool == true {
            for address in try netlink.addresses() where address.index == link.index {
                try netlink.removeAddress(address.address, prefix: address.prefix, from: link.index)
            }
            try SmallFile.write("0", to: "/proc/sys/net/ipv6/conf/\(name)/disable_ipv6")
        }
        let addresses = json["addresses"].array ?? []
        if addresses.contains(where: { $0["address"].string?.contains(":") == true }) {
            // Gives it the link-local address that the template did without.
            try SmallFile.write("0", to: "/proc/sys/net/ipv6/conf/\(name)/addr_gen_mode")
        }
        for address in addresses {
            let prefix = UInt8(clamping: address["prefix"].int ?? 0)
            try netlink.addAddress(try GuestInterface.bytes(address["address"]), prefix: prefix, to: link.index)
        }
        for gateway in json["gateways"].array ?? [] {
            try netlink.addDefaultRoute(gateway: try GuestInterface.bytes(gateway), index: link.index)
        }
    }

    private static func mac(_ json: JSON) throws(SkalaError) -> [UInt8] {
        let bytes = (json.string ?? "").split(separator: ":").compactMap { UInt8($0, radix: 16) }
        guard bytes.count == 6 else { throw SkalaError(.invalid, "not a hardware address: '\(json.string ?? "")'") }
        return bytes
    }

    /// An address in network order.
    private static func bytes(_ json: JSON) throws(SkalaError) -> [UInt8] {
        let text = json.string ?? ""
        let isVersion6 = text.contains(":")
        var bytes = [UInt8](repeating: 0, count: isVersion6 ? 16 : 4)
        guard inet_pton(isVersion6 ? AF_INET6 : AF_INET, text, &bytes) == 1 else {
            throw SkalaError(.invalid, "not an address: '\(text)'")
        }
        return bytes
    }
}
