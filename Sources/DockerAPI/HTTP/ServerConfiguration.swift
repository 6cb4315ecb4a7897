/// Where the API listens.
public enum ListenAddress: Sendable, Hashable {
    /// A unix socket, mode 0660; `group` may use it (a name or a number; nil: the daemon's own group).
    case unix(path: String, group: String?)
    /// TCP with mutual TLS; without `tls` it is refused.
    case tcp(host: String, port: Int, tls: TLSFiles?)
}

/// PEM files for mutual TLS.
public struct TLSFiles: Sendable, Hashable {
    public let certificate: String
    public let key: String
    /// Clients must show a certificate of this authority.
    public let authority: String

    public init(certificate: String, key: String, authority: String) {
        self.certificate = certificate
        self.key = key
        self.authority = authority
    }
}
