import Base
public import Kernel

/// Containers come into a pod's VM, and leave it, while it runs.
extension MachineControl {
    /// What a container brings along.
    public struct Luggage: Sendable {
        public let root: OwnedDescriptor
        public let disk: OwnedDescriptor
        /// Where the container's output goes.
        public let log: OwnedDescriptor
        /// The socket of the program that serves folders of the host to it, as QEMU sees it; nil without.
        public let share: String?

        public init(root: OwnedDescriptor, disk: OwnedDescriptor, log: OwnedDescriptor, share: String?) {
            self.root = root
            self.disk = disk
            self.log = log
            self.share = share
        }
    }

    /// The disks alone; the VM may stand still.
    public func plug(root: OwnedDescriptor, disk: OwnedDescriptor, into place: MachinePlace) throws {
        let control = try connect(seconds: 10)
        try MachineControl.insert(
            try control.add(root, set: place.descriptorSet(0)), as: place.rootDisk, isReadOnly: true, control)
        try MachineControl.insert(
            try control.add(disk, set: place.descriptorSet(1)), as: place.writableDisk, isReadOnly: false, control)
    }

    /// The log alone: a VM that stands still takes no other one.
    public func plug(log: OwnedDescriptor, into place: MachinePlace) throws {
        let control = try connect(seconds: 10)
        try MachineControl.log(to: try control.add(log, set: place.descriptorSet(2)), by: place.log, control)
    }

    /// Puts a container's disks, log and folders into a place that is empty.
    public func plug(_ luggage: Luggage, into place: MachinePlace) throws {
        try plug(root: luggage.root, disk: luggage.disk, into: place)
        try plug(log: luggage.log, into: place)
        let control = try connect(seconds: 10)
        guard let socket = luggage.share else { return }
        try MachineControl.wait("loading the VM") {
            try control.run("query-status")["status"].string != "inmigrate"
        }
        let address: JSON = ["type": "unix", "data": ["path": JSON(socket)]]
        try control.run(
            "chardev-add",
            [
                "id": JSON(place.share),
                "backend": ["type": "socket", "data": ["addr": address, "server": false]],
            ])
        try control.run(
            "device_add",
            [
                "driver": "vhost-user-fs-pci", "id": JSON(place.share), "chardev": JSON(place.share),
                "tag": JSON(place.share), "queue-size": 1024, "addr": JSON(String(place.shareSlot, radix: 16)),
            ])
    }

    /// Empties a place whose container the guest has let go of. What is not in it need not be taken out: a daemon may have
    /// been killed half-way.
    public func unplug(_ place: MachinePlace) throws {
        let control = try connect(seconds: 10)
        func names(_ command: String, _ key: String, _ arguments: JSON = [:]) throws -> [String] {
            (try control.run(command, arguments).array ?? []).compactMap { $0[key].string }
        }
        if try names("query-chardev", "label").contains(place.share) {
            // The guest takes part in it, and QEMU refuses to be asked twice.
            try control.ensure("device_del", ["id": JSON(place.share)])
            try MachineControl.wait("unplugging folders of the host", seconds: 10) {
                try !names("qom-list", "name", ["path": "/machine/peripheral"]).contains(place.share)
            }
            // The device is freed a while after it has gone, and uses the socket until then.
            try MachineControl.wait("closing the socket of the host's folders", seconds: 10) {
                try control.ensure("chardev-remove", ["id": JSON(place.share)])
                return try !names("query-chardev", "label").contains(place.share)
            }
        }
        for (name, isReadOnly) in [(place.rootDisk, true), (place.writableDisk, false)] {
            try MachineControl.reopen(name, over: MachinePlace.nothing(name), isReadOnly: isReadOnly, control)
            try control.ensure("blockdev-del", ["node-name": JSON(name + "-file")])
        }
        try control.run("chardev-change", ["id": JSON(place.log), "backend": ["type": "null", "data": [:]]])
        for use in 0...2 { try control.ensure("remove-fd", ["fdset-id": JSON(place.descriptorSet(use))]) }
    }
}
