import CLinux
import Glibc

/// A file descriptor with one owner: closed when the owner goes, unless `take`n.
public final class OwnedDescriptor: @unchecked Sendable {
    // @unchecked: `raw` changes only in `close` and `take`, which the one owner calls; the descriptor itself may be
    // used from any thread.
    public private(set) var raw: Int32

    /// Takes ownership of `raw`, which must be open and close-on-exec.
    public init(_ raw: Int32) {
        precondition(raw >= 0, "a descriptor is never negative")
        self.raw = raw
    }

    deinit { close() }

    /// Closes now; further calls do nothing.
    public func close() {
        guard raw >= 0 else { return }
        _ = Glibc.close(raw)
        raw = -1
    }

    /// Gives the descriptor away without closing it.
    public func take() -> Int32 {
        defer { raw = -1 }
        return raw
    }

    /// Opens a file; `O_CLOEXEC` is always set.
    public static func open(_ path: String, _ flags: Int32, mode: UInt32 = 0o600) throws(KernelError) -> OwnedDescriptor
    {
        OwnedDescriptor(try check(cl_open(path, flags, mode), "open", path))
    }
}
