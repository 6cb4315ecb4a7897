import Glibc

/// Blocking reads of pipes and files.
public enum Pipe {
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
