import Base
import Glibc
import Kernel

extension MachineControl {
    /// What a capture took.
    public struct Capture: Sendable {
        /// How long the VM stood still, in microseconds.
        public let pause: Int64
        /// Bytes of memory that are the VM's own.
        public let ownMemory: Int64
        /// Why QEMU could not be written down.
        public let refusal: String?
    }

    /// Writes down what the VM is at one moment: its processors stand still meanwhile, and then go on.
    ///
    /// QEMU writes the state of the devices alone (the command is there for Xen, where memory is not QEMU's either); the
    /// memory is read from outside, `GuestMemory`. So the VM goes on as if nothing had been: a migration would put its disks
    /// out of use, and read all of its memory.
    ///
    /// - Parameters:
    ///   - memory: its memory, copied as far as it was the template's; nil leaves memory and devices out.
    ///   - disks: by their places in the snapshot, files that QEMU writes to.
    ///   - process: writes down QEMU, too; one that cannot be is left out.
    public func capture(
        into snapshot: MachineSnapshot, memory: GuestMemory?, disks: [(target: String, source: String)],
        process: ProcessCopy?
    ) throws -> Capture {
        let control = try connect(seconds: 60)
        let began = SystemClock.monotonicNanoseconds()
        var refusal: String?
        try control.run("stop")
        let result = Result {
            for disk in disks { try DiskImage.copy(disk.source, to: disk.target) }
            guard let memory else { return Int64(0) }
            // First, since QEMU keeps the file of the devices' state open.
            do { try process?.write(to: snapshot.image) } catch {
                refusal = "\(error)"
                unlink(snapshot.image)
            }
            try MachineControl.saveDevices(
                to: .open(snapshot.state, O_WRONLY | O_CREAT | O_EXCL, mode: 0o600), control)
            return try memory.copyOwn()
        }
        try control.run("cont")
        let pause = (SystemClock.monotonicNanoseconds() - began) / 1000
        return Capture(pause: pause, ownMemory: try result.get(), refusal: refusal)
    }

    /// The same of a pod's VM, whose memory it shares with programs that serve folders: all of it that is in use is copied while it
    /// stands still.
    public func captureShared(
        into snapshot: MachineSnapshot, pid: Int32, bytes: Int64, disks: [(target: String, source: String)]
    ) throws -> Capture {
        let control = try connect(seconds: 60)
        let began = SystemClock.monotonicNanoseconds()
        try control.run("stop")
        let result = Result {
            for disk in disks { try DiskImage.copy(disk.source, to: disk.target) }
            try MachineControl.saveDevices(
                to: .open(snapshot.state, O_WRONLY | O_CREAT | O_EXCL, mode: 0o600), control)
            return try GuestMemory.copyShared(pid: pid, bytes: bytes, path: snapshot.memory)
        }
        try control.run("cont")
        let pause = (SystemClock.monotonicNanoseconds() - began) / 1000
        return Capture(pause: pause, ownMemory: try result.get(), refusal: nil)
    }

    private static func saveDevices(to file: OwnedDescriptor, _ control: QMP) throws {
        let name = try control.add(file)
        let result = Result { try control.run("xen-save-devices-state", ["filename": JSON(name), "live": false]) }
        try control.remove(name)
        _ = try result.get()
    }

    /// Lets a VM continue where its snapshot was taken, and returns when it does. Nobody is to be connected to its warden
    /// before: the guest learns from that that the engine it knew has gone.
    public func resumeSnapshot() throws {
        try load { control, _ in try control.run("query-status")["running"].bool == true }
    }

    /// Loads a pod's VM, which stands still until `proceed`.
    public func loadPod() throws {
        try load { control, migration in
            try migration == "completed" && control.run("query-status")["status"].string != "inmigrate"
        }
    }

    /// - Parameter isLoaded: whether that was all, by the state of the migration.
    private func load(_ isLoaded: (_ control: QMP, _ migration: String?) throws -> Bool) throws {
        let control = try connect(seconds: 30)
        let number = MachineCommand.Origin.snapshot(hasDisk: false, cards: []).number(.state)
        try control.run("migrate-incoming", ["uri": JSON("fd:\(number)")])
        try MachineControl.wait("loading the VM") {
            let status = try control.run("query-migrate")
            if status["status"].string == "failed" {
                throw SkalaError(.system, "QEMU cannot load the VM: \(status["error-desc"].string ?? status.text)")
            }
            return try isLoaded(control, status["status"].string)
        }
    }

    /// What the VM is: its size, and what runs its instructions.
    public func describe() throws -> (shape: MachineShape, accelerator: Accelerator) {
        let control = try connect(seconds: 10)
        let memory = try control.run("query-memory-size-summary")["base-memory"].int ?? 0
        let processors = try control.run("query-cpus-fast").array?.count ?? 1
        let isKVM = try control.run("query-kvm")["enabled"].bool == true
        return (MachineShape(memory: memory, processors: processors), isKVM ? .kvm : .tcg)
    }

    /// Lets a VM go on that a daemon was killed in the middle of capturing.
    public func proceedIfStopped() throws {
        let control = try connect(seconds: 5)
        if try control.run("query-status")["running"].bool == false { try control.run("cont") }
    }

    /// Whether QEMU has stopped the VM because the host had no room for what it wrote.
    ///
    /// - Parameter goesOn: lets it go on: it writes that again. Whether there was room enough shows when it is asked next.
    public func isStalled(goesOn: Bool) throws -> Bool {
        let control = try connect(seconds: 2)
        func isStalled() throws -> Bool { try control.run("query-status")["status"].string == "io-error" }
        guard try isStalled() else { return false }
        guard goesOn else { return true }
        try control.run("cont")
        return try isStalled()
    }

    /// The file among those that QEMU has open whose path begins so, as a path to open it by: it may have no name any more.
    public static func openFile(of pid: Int32, below prefix: String) throws -> String? {
        let folder = "/proc/\(pid)/fd"
        var buffer = [CChar](repeating: 0, count: Int(PATH_MAX))
        for name in try FileContents.names(in: folder) {
            let count = readlink("\(folder)/\(name)", &buffer, buffer.count)
            guard count > 0 else { continue }
            let target = String(decoding: buffer[..<count].map(UInt8.init(bitPattern:)), as: UTF8.self)
            if target.hasPrefix(prefix) { return "\(folder)/\(name)" }
        }
        return nil
    }
}
