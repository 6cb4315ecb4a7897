import Base
import CLinux
import Glibc
import Kernel

/// Process 1 of a VM.
public enum GuestCommand {
    /// Whether the kernel of a VM started this process.
    public static var isGuest: Bool { cl_is_guest() == 1 }

    /// Serves the engine at the VM's port until it says `halt`. A failure is told on the console, and ends the VM.
    public static func run() -> Int32 {
        do {
            let guest = try Guest.start()
            let path = try Guest.port(named: Guest.port)
            let port = try OwnedDescriptor.open(path, O_RDWR | O_NONBLOCK)
            try Warden(cgroupRoot: "/skala", guest: guest).serve(port: port)
        } catch {
            StandardStreams.error("skala-warden: \(error)\n")
        }
        _ = cl_power_off()
        return 1
    }
}
