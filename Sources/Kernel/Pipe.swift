import CLinux
import Glibc

/// Blocking pipes.
public enum Pipe {
    /// A new pipe's two ends.
    public static func make() throws(KernelError) -> (read: OwnedDescriptor, write: OwnedDescriptor) {
        var ends: [Int32] = [0, 0]
        try check(cl_pipe2(&ends, 0), "pipe2")
        return (OwnedDescriptor(ends[0]), OwnedDescriptor(ends[1]))
    }

    /// The next bytes, at most `limit`; empty at the end.
    public static func read(_ descriptor: Int32, upTo limit: Int) throws(KernelError) -> [UInt8] {
        var buffer = [UInt8](repeating: 0, count: limit)
        while true {
            let count = Glibc.read(descriptor, &buffer, limit)
            if count < 0, errno == EINTR { continue }
            try checkErrno(count, "read")
            buffer.removeLast(limit - count)
            return buffer
        }
    }
}
