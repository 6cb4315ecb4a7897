public import Base
import CLinux
import Glibc

/// A kernel call that failed: what was tried, on what, and why.
public struct KernelError: Error, Sendable, Hashable, CustomStringConvertible {
    /// The operation, as the manual names it: `mount`, `openat2`.
    public let operation: String
    /// What it was tried on: a path, a process, an interface.
    public let subject: String
    /// The kernel's error number, positive.
    public let errno: Int32

    public init(_ operation: String, _ subject: String, errno: Int32) {
        self.operation = operation
        self.subject = subject
        self.errno = errno
    }

    /// The C library's text for the error number, in lower case as our messages are.
    public var reason: String {
        guard let text = strerror(errno) else { return "error \(errno)" }
        let reason = String(cString: text)
        return reason.prefix(1).lowercased() + reason.dropFirst()
    }

    public var description: String {
        subject.isEmpty ? "\(operation): \(reason)" : "\(operation) \(subject): \(reason)"
    }

    /// The same for the layers above, with the code users' tools tell apart.
    public var asSkalaError: SkalaError {
        let code: SkalaError.Code =
            switch errno {
            case ENOENT, ESRCH: .notFound
            case EEXIST, EBUSY: .conflict
            case EPERM, EACCES: .forbidden
            case ENOSPC, EDQUOT, ENOMEM, EMFILE, ENFILE: .exhausted
            case ETIMEDOUT: .timedOut
            default: .system
            }
        return SkalaError(code, description, cause: self)
    }
}

/// Turns the result of a CLinux function (>= 0, or -errno) into a value or a `KernelError`.
@discardableResult
public func check(
    _ result: Int32, _ operation: @autoclosure () -> String, _ subject: @autoclosure () -> String = ""
) throws(KernelError) -> Int32 {
    if result < 0 { throw KernelError(operation(), subject(), errno: -result) }
    return result
}

/// Turns the result of a C library function (-1 and errno) into a value or a `KernelError`.
@discardableResult
public func checkErrno<Result: SignedInteger>(
    _ result: Result, _ operation: @autoclosure () -> String, _ subject: @autoclosure () -> String = ""
) throws(KernelError) -> Result {
    if result < 0 { throw KernelError(operation(), subject(), errno: Glibc.errno) }
    return result
}
