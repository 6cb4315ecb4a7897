import Base
/// How QEMU is called for one VM. It opens no file by itself: everything is inherited, see `Inherited`, or handed over
/// later, see `MachineControl.attach`.
///
/// A template and its clones must have the same devices at the same places.
public struct MachineCommand: Sendable {
    /// What QEMU finds as a descriptor.
    public enum Inherited: Sendable {
        case memory, tap, kernel, initramfs, state, root, scratch, disk, log
    }

    /// Whether the VM boots, to become a template, or continues where its template or a snapshot was stopped.
    public enum Origin: Sendable, Equatable {
        case boot, clone
        /// - Parameters:
        ///   - hasDisk: whether what it writes goes to the disk `disk`, and not to `scratch`.
        ///   - cards: the network cards that had been plugged in, whose taps follow all else that is inherited.
        case snapshot(hasDisk: Bool, cards: [Int])

        /// What becomes descriptor 3, 4, …; a pod's VM has no disks of its own, the last ones.
        public func inherited(_ kind: MachineShape.Kind) -> [Inherited] {
            let all: [Inherited] =
                switch self {
                case .boot: [.memory, .tap, .kernel, .initramfs, .scratch]
                case .clone: [.memory, .tap, .state, .scratch, .root]
                case .snapshot(hasDisk: false, _): [.memory, .tap, .state, .scratch, .root, .log]
                case .snapshot(hasDisk: true, _): [.memory, .tap, .state, .scratch, .root, .log, .disk]
                }
            return kind == .pod ? all.filter { ![.scratch, .root, .log].contains($0) } : all
        }

        /// The same for every kind that has it.
        func number(_ inherited: Inherited) -> Int { 3 + (self.inherited(.microvm).firstIndex(of: inherited) ?? 0) }
    }

    let program: String
    let accelerator: Accelerator
    let shape: MachineShape
    let origin: Origin
    /// The folder of the sockets, as QEMU sees it.
    let folder: String
    /// Whether a program at `shareSocket` serves folders of the host. It reads and writes the guest's memory, which then
    /// cannot be a private mapping of the template's: `memory` has to be a copy.
    let hasShare: Bool

    /// The hardware address a network card is made with, which the guest finds it by. Number 0 is the template's, the others
    /// are plugged while the VM runs.
    public static func hardwareAddress(card number: Int) -> String {
        "02:53:4b:41:4c:" + Hexadecimal.encode([UInt8(clamping: number)])
    }

    /// How many network cards a VM can have: as many as there are slots for.
    public static let maximumCards = 16

    /// How many of them a VM can have been plugged in that continues from a snapshot: what a process can inherit is bounded.
    public static let maximumSavedCards = 9

    /// The slot of a card that is plugged while the VM runs.
    static func cardSlot(_ number: Int) -> Int { 15 + number }
    public static let wardenSocket = "warden.sock"
    public static let controlSocket = "qmp.sock"
    public static let shareSocket = "share.sock"
    /// The tag the guest mounts the host's folders by.
    public static let share = "skala"
    /// The serial numbers of the disks.
    public static let rootDisk = "root"
    public static let scratchDisk = "scratch"
    public static let writableDisk = "disk"
    static let wardenPort = "skala.warden"
    public static let logPort = "skala.log"

    public init(
        program: String, accelerator: Accelerator, shape: MachineShape, origin: Origin, folder: String,
        hasShare: Bool = false
    ) {
        self.program = program
        self.accelerator = accelerator
        self.shape = shape
        self.origin = origin
        self.folder = folder
        self.hasShare = hasShare
    }

    /// Arguments for the guest's kernel. `nokaslr`, since clones share the address anyway, and it boots faster.
    private var kernelArguments: String {
        "console=ttyS0 quiet panic=-1 8250.nr_uarts=1 random.trust_cpu=on mitigations=off no_timer_check tsc=reliable nokaslr"
            // With one processor there is nobody to wait for. With several, making and removing control groups and mounts
            // waits several ticks for the others each time, unless the kernel asks them: a third of a container's start.
            + (shape.processors > 1 ? " rcupdate.rcu_expedited=1" : "")
    }

    public var arguments: [String] {
        // A snapshot's state holds the devices, and no description of itself or of the machine.
        let isSnapshot = ![.boot, .clone].contains(origin)
        var arguments = [
            program, "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
            // A clone runs at once, though its template was stopped.
            "-global", "migration.store-global-state=off",
            "-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny",
            "-M",
            "pc,usb=off,vmport=off,smm=off,hpet=off,memory-backend=memory" + (isSnapshot ? ",suppress-vmdesc=on" : ""),
            "-accel", accelerator.argument,
            "-cpu", accelerator == .kvm ? "host" : MachineCommand.emulatedProcessor, "-smp", "\(shape.processors)",
            "-m", "\(shape.memory >> 20)M",
            "-object",
            "memory-backend-file,id=memory,size=\(shape.memory >> 20)M,prealloc=off,"
                + "mem-path=\(opened(.memory)),share=\(origin == .boot || hasShare || shape.kind == .pod ? "on" : "off")",
        ]
        for inherited in origin.inherited(shape.kind) where [.root, .scratch, .disk, .log].contains(inherited) {
            let number = origin.number(inherited)
            arguments += ["-add-fd", "fd=\(number),set=\(number)"]
        }
        arguments += [
            // The console: QEMU's own output, which its warden keeps.
            "-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console",
            "-chardev", "socket,id=qmp,path=\(folder)/\(MachineCommand.controlSocket),server=on,wait=off",
            "-mon", "chardev=qmp,mode=control",
            "-chardev", "socket,id=warden,path=\(folder)/\(MachineCommand.wardenSocket),server=on,wait=off",
            "-device", "virtio-serial-pci,id=serial,addr=3,max_ports=31",
            "-device", "virtserialport,bus=serial.0,nr=1,chardev=warden,name=\(MachineCommand.wardenPort)",
            "-netdev", "tap,id=net,fd=\(origin.number(.tap))",
            "-device", "virtio-net-pci,netdev=net,mac=\(MachineCommand.hardwareAddress(card: 0)),addr=4,romfile=",
            // The host's own, and not QEMU's: a generator's state would be the same in all that continue from a checkpoint.
            "-object", "rng-random,id=random,filename=/dev/urandom", "-device", "virtio-rng-pci,rng=random,addr=9",
            // The guest tells which of its memory is free, and the host takes that back.
            "-device", "virtio-balloon-pci,addr=0xa,free-page-reporting=on",
        ]
        if isSnapshot { arguments += ["-global", "migration.send-configuration=off"] }
        // What is in its places comes when it has been loaded, and before it goes on.
        if isSnapshot, shape.kind == .pod { arguments.append("-S") }
        arguments += shape.kind == .pod ? MachinePlace.all.flatMap(place) : belongings
        if case .snapshot(_, let cards) = origin {
            let first = 3 + origin.inherited(shape.kind).count
            for (index, card) in cards.enumerated() {
                arguments += [
                    "-netdev", "tap,id=net\(card),fd=\(first + index)", "-device",
                    "virtio-net-pci,netdev=net\(card),id=card\(card),mac=\(MachineCommand.hardwareAddress(card: card)),"
                        + "romfile=,addr=\(String(MachineCommand.cardSlot(card), radix: 16))",
                ]
            }
        }
        if hasShare {
            arguments += ["-chardev", "socket,id=share,path=\(folder)/\(MachineCommand.shareSocket)"]
        }
        // A clone has its kernel in its memory.
        return arguments
            + (origin == .boot
                ? ["-kernel", opened(.kernel), "-initrd", opened(.initramfs), "-append", kernelArguments]
                : ["-incoming", "defer"])
    }

    /// How `skala-checkpoint` is called to continue a microVM's QEMU; it inherits what one of that origin does, and the image of
    /// the process in the place of the state.
    public static func restore(program: String, origin: Origin) -> [String] {
        let numbers = [Inherited.state, .memory, .tap].map(origin.number) + [origin.inherited(.microvm).count]
        return [program, "restore"] + numbers.map(String.init)
    }

    /// What the one container of a microVM gets.
    private var belongings: [String] {
        [
            "-chardev",
            origin.inherited(shape.kind).contains(.log) ? "file,id=log,append=on,path=\(file(.log))" : "null,id=log",
            "-device", "virtserialport,bus=serial.0,nr=2,chardev=log,name=\(MachineCommand.logPort)",
            "-blockdev", disk("root", isReadOnly: true, .root), "-blockdev",
            disk("scratch", isReadOnly: false, .scratch),
            "-blockdev", disk("disk", isReadOnly: false, .disk),
            "-device", "virtio-blk-pci,drive=root,serial=\(MachineCommand.rootDisk),addr=5",
            "-device", "virtio-blk-pci,drive=scratch,serial=\(MachineCommand.scratchDisk),addr=6",
            "-device", "virtio-blk-pci,drive=disk,serial=\(MachineCommand.writableDisk),addr=7",
        ]
    }

    /// What a pod's VM keeps for one of its containers.
    private func place(_ place: MachinePlace) -> [String] {
        var arguments = [
            "-chardev", "null,id=\(place.log)",
            "-device", "virtserialport,bus=serial.0,nr=\(2 + place.number),chardev=\(place.log),name=\(place.logPort)",
        ]
        for (index, name) in [place.rootDisk, place.writableDisk].enumerated() {
            let mode = index == 0 ? "on" : "off"
            arguments += [
                "-blockdev",
                "driver=null-co,node-name=\(MachinePlace.nothing(name)),read-only=\(mode),"
                    + "size=\(MachineCommand.placeBytes),read-zeroes=on",
                "-blockdev", "driver=raw,node-name=\(name),read-only=\(mode),file=\(MachinePlace.nothing(name))",
                // One queue: sixteen places times two disks share the guest's interrupts.
                "-device",
                "virtio-blk-pci,drive=\(name),serial=\(name),num-queues=1,queue-size=128,multifunction=on,"
                    + "addr=\(MachinePlace.address(ofDisk: place.number * 2 + index))",
            ]
        }
        return arguments
    }

    /// For what QEMU opens again by its path.
    private func opened(_ inherited: Inherited) -> String { "/proc/self/fd/\(origin.number(inherited))" }

    /// For what QEMU uses as it is.
    private func file(_ inherited: Inherited) -> String { "/dev/fdset/\(origin.number(inherited))" }

    /// The level x86-64-v2, without a source of random numbers: that would be QEMU's, see above. With all that QEMU can emulate (`max`) starts take a third longer:
    /// the kernel then uses, and saves at each switch, what costs an emulator most.
    static let emulatedProcessor = "qemu64,+ssse3,+sse4.1,+sse4.2,+popcnt,+cx16,+lahf_lm"

    /// A place for a disk is larger than any: the guest's driver asks for the size once, in the template.
    private static let placeBytes = 1 << 40

    private func disk(_ name: String, isReadOnly: Bool, _ inherited: Inherited) -> String {
        let mode = isReadOnly ? "on" : "off"
        let node = "driver=raw,node-name=\(name),read-only=\(mode),"
        guard origin.inherited(shape.kind).contains(inherited) else {
            return node + "file.driver=null-co,file.size=\(MachineCommand.placeBytes),file.read-zeroes=on"
        }
        return node + "file.driver=file,file.locking=off,file.filename=\(file(inherited)),file.read-only=\(mode)"
    }
}
