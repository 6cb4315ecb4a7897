import Glibc

/// Why a request has failed.
public enum LoadFailure: Int, Sendable, CaseIterable {
    /// The answer's status is not one that was expected.
    case status
    /// Nobody listens.
    case refused
    /// No way to the host.
    case unreachable
    /// The connection was reset.
    case reset
    /// The connection ended within the answer, or before it.
    case closed
    /// No whole answer in time.
    case timeout
    /// What came is no HTTP, or too long a head.
    case malformed
    /// TLS did not come about: certificate, version, not TLS at all.
    case tls
    /// Due in an open loop, and never sent: no connection had become free until the end.
    case unsent
    /// This host's own limits: descriptors, ports, memory.
    case local

    public var name: String { "\(self)" }

    init(errno error: Int32) {
        self =
            switch error {
            case ECONNREFUSED: .refused
            case ECONNRESET, EPIPE: .reset
            case ETIMEDOUT: .timeout
            case EHOSTUNREACH, ENETUNREACH, EACCES, EPERM, ENETDOWN: .unreachable
            default: .local
            }
    }
}
