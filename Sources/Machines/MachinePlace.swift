/// One of the places that a pod's VM keeps for a container: two disks and a port for its output, which are in the template
/// already, and a slot for the host's folders.
public struct MachinePlace: Sendable, Hashable {
    /// Containers a pod can have at a time: QEMU's `pc` machine has 32 PCI slots, of which the disks of 16 places take
    /// 4 (8 functions each), and their folders, which can be plugged into whole slots only, 16.
    public static let count = 16
    public static let all = (0..<count).map(MachinePlace.init(number:))

    public let number: Int

    /// The serial numbers of its disks, which are the names of their nodes in QEMU too.
    public var rootDisk: String { "root-\(number)" }
    public var writableDisk: String { "disk-\(number)" }
    /// The virtio-serial port of its container's output, and the device behind that.
    public var logPort: String { "\(MachineCommand.logPort).\(number)" }
    var log: String { "log-\(number)" }
    /// The tag the guest mounts the host's folders by, and the name of the device.
    public var share: String { "share-\(number)" }
    public var shareSocket: String { share + ".sock" }
    /// The PCI slot of that device.
    public var shareSlot: Int { 14 + number }

    /// What is there while nobody has the place.
    static func nothing(_ disk: String) -> String { disk + "-none" }

    /// Of the disk's device, `5.0`: a microVM has its own disks and folders there.
    static func address(ofDisk number: Int) -> String { String(5 + number / 8, radix: 16) + ".\(number % 8)" }

    /// Numbers of QEMU's sets of descriptors; those of other uses start at 0.
    func descriptorSet(_ use: Int) -> Int { 1000 + number * 4 + use }
}
