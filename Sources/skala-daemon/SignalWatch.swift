import CLinux
import Glibc

/// Waits for signals without handlers: they are blocked in every thread and read from a signalfd.
struct SignalWatch {
    private let descriptor: Int32

    /// Call before any other thread is started.
    init(_ signals: [Int32]) {
        var set = sigset_t()
        sigemptyset(&set)
        for signal in signals { sigaddset(&set, signal) }
        pthread_sigmask(SIG_BLOCK, &set, nil)
        // Writing to a client that has gone must be an error, not the daemon's end.
        signal(SIGPIPE, SIG_IGN)
        descriptor = signalfd(-1, &set, Int32(SFD_CLOEXEC))
    }

    /// The next signal's number. Blocking.
    func next() -> Int32 {
        var information = signalfd_siginfo()
        let size = MemoryLayout<signalfd_siginfo>.size
        // A broken descriptor is as good a reason to stop as a signal.
        while read(descriptor, &information, size) != size { if errno != EINTR { return 0 } }
        return Int32(information.ssi_signo)
    }
}
