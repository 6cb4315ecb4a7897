import Base
import Glibc
import Kernel

/// Snapshots of machines that boot from their own disk.
extension MachineControl {
    /// How long memory may be written while the machine runs, in nanoseconds. One that changes it faster than it is written
    /// is stopped then, and the rest follows.
    private static let liveDeadline: Int64 = 20_000_000_000
    /// How long that machine may stand still for the rest of its memory, in milliseconds.
    private static let longestPause = 100
    /// Beyond what any disk takes, in bytes a second: QEMU has a limit that is meant for networks.
    private static let bandwidth: Int64 = 1 << 40

    /// Writes down what the machine is at one moment: its memory while it runs, and then, while it stands still, what has
    /// changed of it, its devices and its disks. QEMU writes out what it knows of the disks before.
    ///
    /// - Parameters:
    ///   - state: a file to be made, of memory and devices; nil leaves them out.
    ///   - files: its disks, to be copied.
    /// - Returns: how long it stood still, in microseconds.
    public func captureMachine(state: String?, files: [(source: String, target: String)]) throws -> Int64 {
        let control = try connect(seconds: 600)
        var began = SystemClock.monotonicNanoseconds()
        let result = Result {
            if let state {
                try MachineControl.saveMachine(to: .open(state, O_WRONLY | O_CREAT | O_EXCL, mode: 0o600), control)
                began = SystemClock.monotonicNanoseconds()
                began -= (try control.run("query-migrate")["downtime"].int ?? 0) * 1_000_000
            } else {
                try control.run("stop")
            }
            for file in files { try DiskImage.copy(file.source, to: file.target) }
        }
        // QEMU takes the disks, which it had let go of, again.
        try control.run("cont")
        let pause = (SystemClock.monotonicNanoseconds() - began) / 1000
        try result.get()
        return pause
    }

    /// Afterwards the machine stands still.
    private static func saveMachine(to state: OwnedDescriptor, _ control: QMP) throws {
        try control.send(state, as: "state")
        try control.run(
            "migrate-set-parameters", ["max-bandwidth": JSON(bandwidth), "downtime-limit": JSON(longestPause)])
        try control.run("migrate", ["uri": "fd:state"])
        let deadline = SystemClock.monotonicNanoseconds() + liveDeadline
        var isStopped = false
        do {
            try wait("saving the machine", seconds: 300) {
                let status = try control.run("query-migrate")
                if ["failed", "cancelled"].contains(status["status"].string) {
                    throw SkalaError(
                        .system,
                        "QEMU cannot save the machine: \(status["error-desc"].string ?? "the file cannot be written")")
                }
                if !isStopped, SystemClock.monotonicNanoseconds() > deadline {
                    try control.run("stop")
                    isStopped = true
                }
                return status["status"].string == "completed"
            }
        } catch {
            try control.ensure("migrate_cancel", [:])
            throw error
        }
    }

    /// Loads memory and devices of a snapshot into a machine that has not run; it stands still until `proceed`.
    public func loadMachine(number: Int) throws {
        let control = try connect(seconds: 600)
        try control.run("migrate-incoming", ["uri": JSON("fd:\(number)")])
        try MachineControl.wait("loading the machine", seconds: 300) {
            let status = try control.run("query-migrate")
            if status["status"].string == "failed" {
                throw SkalaError(.system, "QEMU cannot load the machine: \(status["error-desc"].string ?? status.text)")
            }
            return try status["status"].string == "completed"
                && control.run("query-status")["status"].string != "inmigrate"
        }
    }

    /// Lets a machine go on that a daemon was killed in the middle of capturing.
    public func endCapture() throws {
        let control = try connect(seconds: 10)
        try MachineControl.wait("giving up a snapshot", seconds: 10) {
            let status = try control.run("query-migrate")["status"].string ?? ""
            let isOver = ["", "none", "completed", "failed", "cancelled"].contains(status)
            if !isOver { try control.ensure("migrate_cancel", [:]) }
            return isOver
        }
        if try control.run("query-status")["running"].bool == false { try control.run("cont") }
    }
}
