/// How QEMU is called for a machine that boots from its own disk. As for `MachineCommand` it opens no file by itself: its
/// disks and its network card are inherited.
///
/// It starts stopped: what is still to be done (a larger disk, the bridge, the processors' cores) is done before it runs.
public struct DiskMachineCommand: Sendable {
    /// What QEMU finds as descriptor 3, 4, …, in this order.
    public enum Inherited: Sendable {
        case disk, base, seed, tap, firmware, variables, state
    }

    let program: String
    let accelerator: Accelerator
    /// The folder of the control socket, as QEMU sees it.
    let folder: String
    let processors: Int
    /// Bytes.
    let memory: Int64
    /// Whether the memory is taken before the machine runs.
    let reservesMemory: Bool
    /// QEMU's driver for the image's disk: `qcow2` or `raw`.
    let baseDriver: String
    /// nil without a network.
    let macAddress: String?
    let hasUEFI: Bool
    /// 32 hexadecimal digits that name the machine to its guest.
    let uuid: String
    /// Whether it goes on from a snapshot, whose memory and devices are in `state`.
    let continues: Bool

    public init(
        program: String, accelerator: Accelerator, folder: String, processors: Int, memory: Int64, reservesMemory: Bool,
        baseDriver: String, macAddress: String?, hasUEFI: Bool, uuid: String, continues: Bool = false
    ) {
        self.program = program
        self.accelerator = accelerator
        self.folder = folder
        self.processors = processors
        self.memory = memory
        self.reservesMemory = reservesMemory
        self.baseDriver = baseDriver
        self.macAddress = macAddress
        self.hasUEFI = hasUEFI
        self.uuid = uuid
        self.continues = continues
    }

    public var inherited: [Inherited] {
        [.disk, .base, .seed] + (macAddress == nil ? [] : [.tap]) + (hasUEFI ? [.firmware, .variables] : [])
            + (continues ? [.state] : [])
    }

    /// What `MachineControl.loadMachine` finds the snapshot by.
    public var stateNumber: Int { number(.state) }

    private func number(_ one: Inherited) -> Int { 3 + (inherited.firstIndex(of: one) ?? 0) }

    public var arguments: [String] {
        var arguments = [
            program, "-S", "-nodefaults", "-no-user-config", "-display", "none", "-uuid", dashed,
            "-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny",
            "-M",
            "q35,usb=off,vmport=off,smm=off,memory-backend=memory"
                + (hasUEFI ? ",pflash0=firmware,pflash1=variables" : ""),
            "-accel", accelerator.argument,
            "-cpu", accelerator == .kvm ? "host" : MachineCommand.emulatedProcessor, "-smp", "\(processors)",
            "-m", "\(memory >> 20)M",
            "-object", "memory-backend-ram,id=memory,size=\(memory >> 20)M,prealloc=\(reservesMemory ? "on" : "off")",
        ]
        for one in inherited where ![.tap, .state].contains(one) {
            arguments += ["-add-fd", "fd=\(number(one)),set=\(number(one))"]
        }
        arguments += [
            // The console: the process's own input and output, which its warden keeps and hands on.
            "-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console",
            "-chardev", "socket,id=qmp,path=\(folder)/\(MachineCommand.controlSocket),server=on,wait=off",
            "-mon", "chardev=qmp,mode=control",
        ]
        if hasUEFI {
            arguments += blockdev("firmware", "raw", isReadOnly: true) + blockdev("variables", "raw", isReadOnly: false)
        }
        // Nothing in the disks' headers leads to other files: what lies below each is said here.
        arguments += blockdev(
            "base", baseDriver, isReadOnly: true, below: baseDriver == "qcow2" ? ",\"backing\":null" : "")
        arguments += blockdev("disk", "qcow2", isReadOnly: false, below: ",\"backing\":\"base\",\"discard\":\"unmap\"")
        arguments += blockdev("seed", "raw", isReadOnly: true)
        arguments += [
            // A host without room is told to the guest: QEMU's own way, to stand still until somebody lets it go on, would look
            // like a guest that hangs.
            "-device", "virtio-blk-pci,drive=disk,serial=disk,bootindex=1,werror=report,rerror=report,addr=5",
            "-device", "virtio-blk-pci,drive=seed,serial=seed,addr=6",
            "-device", "virtio-rng-pci,addr=7", "-device",
            "virtio-balloon-pci,free-page-reporting=\(reservesMemory ? "off" : "on"),addr=8",
        ]
        if let macAddress {
            arguments += [
                "-netdev", "tap,id=net,fd=\(number(.tap))",
                "-device", "virtio-net-pci,netdev=net,mac=\(macAddress),addr=4,romfile=",
            ]
        }
        if continues { arguments += ["-incoming", "defer"] }
        return arguments
    }

    private var dashed: String {
        let digits = Array(uuid)
        return [0..<8, 8..<12, 12..<16, 16..<20, 20..<32].map { String(digits[$0]) }.joined(separator: "-")
    }

    private func blockdev(_ name: String, _ driver: String, isReadOnly: Bool, below: String = "") -> [String] {
        let kinds: [String: Inherited] = [
            "disk": .disk, "base": .base, "seed": .seed, "firmware": .firmware, "variables": .variables,
        ]
        let file = kinds[name].map { "/dev/fdset/\(number($0))" } ?? ""
        return [
            "-blockdev",
            "{\"driver\":\"\(driver)\",\"node-name\":\"\(name)\",\"read-only\":\(isReadOnly)\(below),\"file\":{\"driver\":"
                + "\"file\",\"filename\":\"\(file)\",\"locking\":\"off\",\"read-only\":\(isReadOnly)}}",
        ]
    }
}
