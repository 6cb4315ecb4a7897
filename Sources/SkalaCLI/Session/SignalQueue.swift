import CLinux
import Glibc
import Kernel

/// Signals as something to poll for: while it exists they are blocked, and read from a descriptor instead.
final class SignalQueue {
    private let file: OwnedDescriptor
    private var before = sigset_t()

    init(_ signals: [Int32]) throws(KernelError) {
        var set = sigset_t()
        sigemptyset(&set)
        for signal in signals { sigaddset(&set, signal) }
        pthread_sigmask(SIG_BLOCK, &set, &before)
        file = OwnedDescriptor(try checkErrno(signalfd(-1, &set, Int32(SFD_CLOEXEC | SFD_NONBLOCK)), "signalfd"))
    }

    deinit { pthread_sigmask(SIG_SETMASK, &before, nil) }

    var descriptor: Int32 { file.raw }

    /// The next signal, nil when none waits.
    func next() -> Int32? {
        var information = signalfd_siginfo()
        let size = MemoryLayout<signalfd_siginfo>.size
        return read(file.raw, &information, size) == size ? Int32(information.ssi_signo) : nil
    }

    /// Waits for a time or a signal, which is answered.
    func pause(milliseconds: Int32) -> Int32? {
        var set = [pollfd(fd: file.raw, POLLIN)]
        return poll(&set, 1, milliseconds) > 0 ? next() : nil
    }

    /// Waits until `descriptor` can be read, and hands over what signals come meanwhile.
    func wait(for descriptor: Int32, _ handle: (Int32) throws -> Void) rethrows {
        try wait(
            for: descriptor,
            until: { signal in
                try handle(signal)
                return false
            })
    }

    /// The same, until `handle` answers true for a signal.
    func wait(for descriptor: Int32, until handle: (Int32) throws -> Bool) rethrows {
        var set = [pollfd(fd: descriptor, POLLIN), pollfd(fd: file.raw, POLLIN)]
        while true {
            guard poll(&set, 2, -1) > 0 else { continue }
            while let signal = next() { if try handle(signal) { return } }
            if set[0].revents != 0 { return }
        }
    }
}
