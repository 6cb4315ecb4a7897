import Base
import Kernel
import NIOCore
import NIOPosix
import Synchronization

/// The HTTP/1.1 server of the API.
///
/// The process's event-loop threads, one a core, carry all connections; handlers run as tasks on the concurrency pool.
final class HTTPServer: Sendable {
    private struct State {
        var connections: [ObjectIdentifier: Connection] = [:]
        var listeners: [any Channel] = []
        var unixListeners: [UnixListener] = []
        var isServing = false
        var isStopping = false
    }

    private let service: Service
    /// Never shut down: a handler that outlives the server must find its loop.
    private let group = MultiThreadedEventLoopGroup.singleton
    private let state = Mutex(State())

    init(service: Service) {
        self.service = service
    }

    /// Takes an address; returns the TCP port (asked for as 0, the kernel has chosen it). Who connects waits until `serve`.
    ///
    /// - Throws: `SkalaError`: `.conflict` when another daemon has the address, `.invalid` for TCP without TLS.
    @discardableResult
    func listen(on address: ListenAddress) async throws -> Int? {
        switch address {
        case .unix(let path, let group):
            try await listen(path: path, group: group)
            return nil
        case .tcp(let host, let port, let tls):
            guard let tls else {
                throw SkalaError(
                    .invalid,
                    "refusing tcp://\(host):\(port) without TLS: whoever reaches the API is root on this host; "
                        + "give a server certificate, its key and the clients' authority")
            }
            return try await listen(
                host: host, port: port, tls: try TLSListener(tls, helloDeadline: service.limits.helloDeadline))
        }
    }

    private func listen(path: String, group: String?) async throws {
        let listener: UnixListener
        do {
            listener = try UnixListener(path: path, group: group)
        } catch {
            throw skalaError(from: error)
        }
        do {
            let channel = try await bootstrap { self.add($0, tls: nil) }.withBoundSocket(listener.takeSocket()).get()
            state.withLock { $0.unixListeners.append(listener) }
            try await opened(channel)
        } catch {
            listener.close()
            throw SkalaError(.system, "cannot listen on \(path): \(error)", cause: error)
        }
    }

    /// The same without TLS and clients' certificates: for a server whose routes tell nothing that is secret and change
    /// nothing.
    @discardableResult
    func listenOpenly(host: String, port: Int) async throws -> Int? {
        try await listen(host: host, port: port, tls: nil)
    }

    private func listen(host: String, port: Int, tls: TLSListener?) async throws -> Int? {
        do {
            let socket = try TCPListener.bind(host: host, port: port)
            let channel = try await bootstrap { self.add($0, tls: tls) }
                .childChannelOption(.socketOption(.tcp_nodelay), value: 1)
                .withBoundSocket(socket.take()).get()
            try await opened(channel)
            return channel.localAddress?.port
        } catch {
            throw SkalaError(.system, "cannot listen on tcp://\(host):\(port): \(error)", cause: error)
        }
    }

    private func opened(_ channel: any Channel) async throws {
        let isServing = state.withLock { state in
            state.listeners.append(channel)
            return state.isServing
        }
        if isServing { try await channel.setOption(.autoRead, value: true).get() }
    }

    /// Answers, from now on, on all addresses.
    func serve() async throws {
        let listeners = state.withLock { state in
            state.isServing = true
            return state.listeners
        }
        for listener in listeners { try await listener.setOption(.autoRead, value: true).get() }
    }

    private func bootstrap(_ add: @escaping @Sendable (any Channel) -> EventLoopFuture<Void>) -> ServerBootstrap {
        ServerBootstrap(group: group)
            .serverChannelOption(.backlog, value: 1024)
            .serverChannelOption(.autoRead, value: false)
            // Out of descriptors: waits before the next try instead of turning in circles.
            .serverChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(AcceptBackoffHandler())
                }
            }
            .childChannelOption(.autoRead, value: false)
            .childChannelOption(.allowRemoteHalfClosure, value: true)
            .childChannelInitializer(add)
    }

    private func add(_ channel: any Channel, tls: TLSListener?) -> EventLoopFuture<Void> {
        let connection = Connection(service: service, loop: channel.eventLoop) { [weak self] connection in
            guard let self else { return }
            let wasOpen = state.withLock { $0.connections.removeValue(forKey: ObjectIdentifier(connection)) != nil }
            if wasOpen { service.requests.connectionClosed() }
        }
        return channel.eventLoop.makeCompletedFuture {
            try tls?.add(to: channel)
            let isAccepted = self.state.withLock { state in
                guard !state.isStopping, state.connections.count < self.service.limits.connections else { return false }
                state.connections[ObjectIdentifier(connection)] = connection
                return true
            }
            // NIO closes a channel that could not be set up.
            guard isAccepted else { throw SkalaError(.exhausted, "too many connections") }
            self.service.requests.connectionOpened()
            try channel.pipeline.syncOperations.addHandler(connection)
        }
    }

    /// How many connections are open.
    var connectionCount: Int { state.withLock { $0.connections.count } }

    /// Stops: no new connections, idle ones are closed, endless streams end, requests under way have until the deadline.
    /// The server cannot be used again.
    func stop(within deadline: Duration = .seconds(10)) async {
        let (listeners, unixListeners) = state.withLock { state in
            state.isStopping = true
            defer {
                state.listeners = []
                state.unixListeners = []
            }
            return (state.listeners, state.unixListeners)
        }
        for listener in listeners {
            // A listener that is closed already is what is wanted.
            try? await listener.close().get()
        }
        for listener in unixListeners { listener.close() }
        for connection in connections { connection.stopGracefully() }
        let clock = ContinuousClock()
        let end = clock.now + deadline
        while connectionCount > 0, clock.now < end {
            // Cancelled or not, the deadline holds.
            try? await Task.sleep(for: .milliseconds(10))
        }
        for connection in connections { connection.closeNow() }
    }

    private var connections: [Connection] { state.withLock { Array($0.connections.values) } }
}
