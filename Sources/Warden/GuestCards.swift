import Base
import Glibc
import Kernel

/// The network cards of a VM. They are known by the hardware address they were made with.
final class GuestCards {
    private static let driver = "/sys/bus/virtio/drivers/virtio_net/"
    private static let devices = "/sys/bus/virtio/devices/"

    private let netlink: NetlinkSocket
    /// The devices of cards that have no interface, since no driver has them.
    private var parked: [[UInt8]: String] = [:]

    init() throws { netlink = try NetlinkSocket() }

    /// Changes one as the engine wants it.
    func configure(_ json: JSON) throws {
        let interface = try GuestInterface(json)
        if json["absent"].bool == true { return try park(interface.hardware) }
        try interface.configure(try find(interface.hardware), netlink)
    }

    /// The interface of a card; of one that has been plugged in since, or that was parked, it is made.
    private func find(_ hardware: [UInt8]) throws -> NetworkInterface {
        func look() throws -> NetworkInterface? {
            try netlink.links().first { $0.permanentAddress == hardware }
        }
        if let link = try look() { return link }
        if let device = parked.removeValue(forKey: hardware), access(GuestCards.devices + device, F_OK) == 0 {
            try SmallFile.write(device, to: GuestCards.driver + "bind")
        } else {
            try SmallFile.write("1", to: "/sys/bus/pci/rescan")
        }
        guard let link = try look() else {
            throw SkalaError(.notFound, "the VM has no network card \(Hexadecimal.encode(hardware))")
        }
        // As in the template: an address is made when the engine says so.
        try SmallFile.write("1", to: "/proc/sys/net/ipv6/conf/\(link.name)/addr_gen_mode")
        return link
    }

    /// Takes the driver off a card: its interface goes, and the card can be taken out.
    private func park(_ hardware: [UInt8]) throws {
        guard let link = try netlink.links().first(where: { $0.permanentAddress == hardware }) else { return }
        var target = [CChar](repeating: 0, count: Int(PATH_MAX))
        let path = "/sys/class/net/\(link.name)/device"
        let count = try checkErrno(readlink(path, &target, target.count), "readlink", path)
        let text = String(decoding: target.prefix(count).map { UInt8(bitPattern: $0) }, as: UTF8.self)
        let name = String(text.split(separator: "/").last ?? "")
        try SmallFile.write(name, to: GuestCards.driver + "unbind")
        parked[hardware] = name
    }
}
