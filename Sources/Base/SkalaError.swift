/// The one error type above the kernel layer. At each border it gains the thing the user knows (container, image,
/// path); each border that shows it (HTTP status, exit code) maps every code in one file.
public struct SkalaError: Error, Sendable, CustomStringConvertible {
    public enum Code: String, Sendable, CaseIterable {
        /// The request, file or message is malformed.
        case invalid
        /// What is named does not exist.
        case notFound
        /// It exists already, or its state does not allow this now.
        case conflict
        /// Nothing had to be done.
        case notModified
        /// Who asks may not do this.
        case forbidden
        /// Credentials are missing or wrong.
        case unauthorized
        /// Skala does not do this, or not here; the message says why.
        case unsupported
        /// A limit is reached: disk, memory, addresses, cores.
        case exhausted
        /// Not possible now; later it may be (no connection, shutting down).
        case unavailable
        /// A deadline passed.
        case timedOut
        /// The caller gave up.
        case cancelled
        /// The kernel or a tool refused; the message holds operation, subject and reason.
        case system
    }

    public let code: Code
    /// Lower case, without a final period, naming the value.
    public let message: String
    /// What led to this, for the log.
    public let cause: (any Error)?

    public init(_ code: Code, _ message: String, cause: (any Error)? = nil) {
        self.code = code
        self.message = message
        self.cause = cause
    }

    /// The same error with the thing the user knows in front: `container web: no such file: /x`.
    public func within(_ subject: String) -> SkalaError { SkalaError(code, "\(subject): \(message)", cause: cause) }

    public var description: String { message }
}
