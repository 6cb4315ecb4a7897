import Base
import Glibc
public import Kernel

/// What is done to machines that boot from their own disk.
extension MachineControl {
    /// Waits until QEMU is set up: taking all of a machine's memory takes a while.
    public func waitUntilReady(seconds: Int64) throws { try connect(seconds: seconds).run("query-status") }

    /// Presses the power button; what the guest does then is its own affair.
    public func pressPowerButton() throws { try connect(seconds: 10).run("system_powerdown") }

    /// Makes the disk larger, in bytes: a running guest is told.
    public func resizeDisk(to size: Int64) throws {
        try connect(seconds: 10).run("block_resize", ["node-name": "disk", "size": JSON(size)])
    }

    /// The threads of the virtual processors, by their ids in QEMU's own namespace of processes.
    public func processorThreads() throws -> [Int64] {
        try connect(seconds: 10).run("query-cpus-fast").array?.compactMap { $0["thread-id"].int } ?? []
    }

    /// Copies the disk, as it is at this moment, with all that lies below it, into an empty qcow2 image of its size; a running
    /// guest goes on meanwhile.
    public func copyDisk(to target: OwnedDescriptor) throws {
        let control = try connect(seconds: 3600)
        try control.run(
            "blockdev-add",
            [
                "driver": "qcow2", "node-name": "copy", "discard": "unmap", "detect-zeroes": "unmap",
                "file": ["driver": "file", "filename": JSON(try control.add(target)), "locking": "off"],
            ])
        defer { _ = try? control.run("blockdev-del", ["node-name": "copy"]) }  // gone with QEMU in any case
        try control.run(
            "blockdev-backup",
            ["job-id": "copy", "device": "disk", "target": "copy", "sync": "full", "auto-dismiss": false])
        while true {
            let job = try control.run("query-jobs").array?.first { $0["id"].string == "copy" } ?? .null
            if job["status"].string == "concluded" {
                try control.run("job-dismiss", ["id": "copy"])
                if let error = job["error"].string { throw SkalaError(.system, "cannot copy the disk: \(error)") }
                return
            }
            guard !job.isNull else { throw SkalaError(.system, "QEMU lost the copy of the disk") }
            usleep(20_000)
        }
    }
}
