import CSSL
import Glibc
import Base

/// TLS 1.2 and later as a client, by the distribution's OpenSSL, over sockets that do not block.
final class TLSClient {
    private let context: OpaquePointer

    /// - Parameter isInsecure: certificates are not checked.
    init(isInsecure: Bool) throws(SkalaError) {
        guard let context = SSL_CTX_new(TLS_client_method()) else { throw SkalaError(.system, "cannot start TLS") }
        self.context = context
        cssl_partial_writes(context)
        guard cssl_least_version(context) == 1 else { throw SkalaError(.system, "cannot choose a version of TLS") }
        if !isInsecure {
            guard SSL_CTX_set_default_verify_paths(context) == 1 else {
                throw SkalaError(.system, "cannot read the host's certificate authorities")
            }
            SSL_CTX_set_verify(context, SSL_VERIFY_PEER, nil)
        }
    }

    deinit { SSL_CTX_free(context) }

    /// A session over a connected socket, which stays the caller's.
    ///
    /// - Parameter host: the name or address the certificate must be of.
    func session(on socket: Int32, host: String) -> TLSSession? {
        guard let session = SSL_new(context) else { return nil }
        let isReady =
            SSL_set_fd(session, socket) == 1
            && (TLSClient.isAddress(host)
                ? X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(session), host) == 1
                : SSL_set1_host(session, host) == 1 && cssl_server_name(session, host) == 1)
        guard isReady else {
            SSL_free(session)
            return nil
        }
        SSL_set_connect_state(session)
        return TLSSession(session)
    }

    private static func isAddress(_ host: String) -> Bool {
        var four = in_addr()
        var six = in6_addr()
        return inet_pton(AF_INET, host, &four) == 1 || inet_pton(AF_INET6, host, &six) == 1
    }
}

/// One connection's TLS.
final class TLSSession {
    enum Result {
        /// So many bytes; 0 of a read is the end.
        case moved(Int)
        case wantsRead
        case wantsWrite
        case failed
    }

    private let session: OpaquePointer

    fileprivate init(_ session: OpaquePointer) { self.session = session }

    deinit { SSL_free(session) }

    func handshake() -> Result {
        ERR_clear_error()
        return result(SSL_do_handshake(session))
    }

    func read(_ buffer: UnsafeMutableRawBufferPointer) -> Result {
        ERR_clear_error()
        return result(SSL_read(session, buffer.baseAddress, Int32(clamping: buffer.count)))
    }

    func write(_ bytes: UnsafeRawBufferPointer) -> Result {
        ERR_clear_error()
        return result(SSL_write(session, bytes.baseAddress, Int32(clamping: bytes.count)))
    }

    var hasBufferedBytes: Bool { SSL_pending(session) > 0 }

    private func result(_ value: Int32) -> Result {
        if value > 0 { return .moved(Int(value)) }
        switch SSL_get_error(session, value) {
        case SSL_ERROR_WANT_READ: return .wantsRead
        case SSL_ERROR_WANT_WRITE: return .wantsWrite
        case SSL_ERROR_ZERO_RETURN: return .moved(0)
        default:
            ERR_clear_error()
            return .failed
        }
    }
}
