import Base
import NIOCore
import NIOPosix
import NIOSSL

/// TCP with mutual TLS: who shows no certificate of the clients' authority gets no further than the handshake.
struct TLSListener: Sendable {
    private let context: NIOSSLContext
    private let helloDeadline: TimeAmount

    /// Reads the files.
    ///
    /// - Throws: `SkalaError` `.invalid` naming the file.
    init(_ files: TLSFiles, helloDeadline: Duration) throws {
        self.helloDeadline = TimeAmount(helloDeadline)
        let chain = try TLSListener.load("certificate", files.certificate) {
            try NIOSSLCertificate.fromPEMFile($0).map { NIOSSLCertificateSource.certificate($0) }
        }
        let key = try TLSListener.load("key", files.key) { try NIOSSLPrivateKey(file: $0, format: .pem) }
        let authorities = try TLSListener.load("authority", files.authority) { try NIOSSLCertificate.fromPEMFile($0) }
        guard !chain.isEmpty, !authorities.isEmpty else {
            throw SkalaError(.invalid, "no certificate in \(chain.isEmpty ? files.certificate : files.authority)")
        }
        var configuration = TLSConfiguration.makeServerConfiguration(
            certificateChain: chain, privateKey: .privateKey(key))
        configuration.minimumTLSVersion = .tlsv12
        configuration.trustRoots = .certificates(authorities)
        // Clients have no host name to verify; the certificate itself is required.
        configuration.certificateVerification = .noHostnameVerification
        configuration.applicationProtocols = ["http/1.1"]
        context = try TLSListener.load("certificate and key", files.certificate) { _ in
            try NIOSSLContext(configuration: configuration)
        }
    }

    /// Adds TLS in front of what else is in the pipeline. On the channel's event loop.
    func add(to channel: any Channel) throws {
        let handlers: [any ChannelHandler] = [
            NIOSSLServerHandler(context: context), HelloDeadline(helloDeadline),
        ]
        try channel.pipeline.syncOperations.addHandlers(handlers)
    }

    private static func load<Value>(_ what: String, _ path: String, _ body: (String) throws -> Value) throws -> Value {
        do {
            return try body(path)
        } catch {
            throw SkalaError(.invalid, "cannot use the TLS \(what) \(path): \(error)", cause: error)
        }
    }
}

/// Closes a connection on which nothing has been decrypted in time.
private final class HelloDeadline: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer

    private let time: TimeAmount
    private var deadline: Scheduled<Void>?

    init(_ time: TimeAmount) { self.time = time }

    func handlerAdded(context: ChannelHandlerContext) {
        let channel = context.channel
        deadline = context.eventLoop.scheduleTask(in: time) { channel.close(promise: nil) }
    }

    func handlerRemoved(context: ChannelHandlerContext) { deadline?.cancel() }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        context.fireChannelRead(data)
        context.pipeline.syncOperations.removeHandler(context: context, promise: nil)
    }
}
