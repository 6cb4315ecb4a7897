import Base
import Glibc
import Kernel
import Synchronization
import WardenProtocol

/// Keeps the host's warden running and the connection to it open.
///
/// The warden outlives the daemon: a new daemon finds the old warden by its socket. When the warden itself dies, its
/// containers have died with it; a new one is started, and `onReplaced` is told.
final class WardenSupervisor: Sandbox {
    private struct State {
        var client: WardenClient?
        var generation = 0
        /// The warden's process while it is our child: it has to be reaped.
        var child: pid_t?
        var isClosing = false
        var isConnecting = false
    }

    /// How long a new warden may take until its socket answers.
    private static let startDeadline: Int64 = 5_000_000_000

    private let configuration: EngineConfiguration
    private let log: Log
    private let state = Mutex(State())
    private let handlers = Mutex<(onEvent: @Sendable (JSON) -> Void, onReplaced: @Sendable () -> Void)>(({ _ in }, {}))
    private let threads = WorkerThreads(limit: 1)

    init(configuration: EngineConfiguration, log: Log) {
        self.configuration = configuration
        self.log = log
    }

    /// Connects, starting a warden if none answers.
    ///
    /// - Returns: whether the warden is new, that is, whether whatever ran before is gone.
    func start(
        onEvent: @escaping @Sendable (JSON) -> Void, onReplaced: @escaping @Sendable () -> Void
    ) async throws -> Bool {
        handlers.withLock { $0 = (onEvent, onReplaced) }
        return try await connect()
    }

    @discardableResult
    func request(_ operation: String, _ fields: JSON) async throws -> JSON {
        guard let client = state.withLock({ $0.client }) else { throw WardenClient.gone }
        return try await client.request(operation, fields)
    }

    func open(_ stream: WardenStream) throws {
        guard let client = state.withLock({ $0.client }) else { throw WardenClient.gone }
        client.open(stream)
    }

    /// Counts the wardens: what was started under an earlier one has died with it.
    var generation: Int { state.withLock { $0.generation } }

    /// Ends the connection; the warden goes on.
    func close() {
        state.withLock { state in
            state.isClosing = true
            defer { state.client = nil }
            return state.client
        }?.close()
    }

    private func connect() async throws -> Bool {
        let path = configuration.wardenSocket
        let onEvent = handlers.withLock { $0.onEvent }
        let makeClient = { @Sendable [weak self] () throws -> WardenClient in
            try WardenClient(path: path, isTrusted: true, onEvent: onEvent) { [weak self] in self?.connectionLost($0) }
        }
        let (client, isNew) = try await threads.run { [self] in
            // No warden yet, or one that was killed and left its socket: start one.
            if let client = try? makeClient() { return (client, false) }
            return (try startWarden(makeClient), true)
        }
        do {
            let hello = try await client.request("hello", ["version": JSON(configuration.version)])
            try await checkVersion(hello, isNew)
        } catch {
            client.close()
            throw error
        }
        state.withLock { state in
            state.client = client
            state.isConnecting = false
            if isNew { state.generation += 1 }
        }
        // It was nobody's while we spoke to it.
        if !client.isOpen { connectionLost(client) }
        return isNew
    }

    /// A warden outlives daemons, and may be of an earlier or a later release.
    ///
    /// - Throws: `.conflict` saying what to do, unless it speaks as we do.
    private func checkVersion(_ hello: JSON, _ isNew: Bool) async throws {
        let version = hello["version"].string ?? "none"
        guard version != ProtocolVersion.current else { return }
        let difference =
            "speaks version \(version) of the warden's protocol, and this daemon version \(ProtocolVersion.current)"
        if isNew, let child = state.withLock({ $0.child }) {
            kill(child, SIGTERM)
            _ = try await threads.run { waitpid(child, nil, 0) }
            throw SkalaError(
                .conflict, "\(configuration.wardenPath) \(difference): install both programs of one release")
        }
        let pid = hello["pid"].int ?? 0
        throw SkalaError(
            .conflict,
            "the warden that runs (process \(pid)) \(difference). Its containers go on. Either start the daemon of the "
                + "release it is of, or end it and its containers with 'kill \(pid)' and start this daemon again: it "
                + "starts a warden of its own, and the containers whose restart policy says so")
    }

    private func startWarden(_ makeClient: () throws -> WardenClient) throws -> WardenClient {
        let arguments = [
            configuration.wardenPath, "--socket", configuration.wardenSocket, "--cgroup", configuration.cgroupParent,
        ]
        let pid = try Subprocess.spawn(arguments, newSession: true)
        state.withLock { $0.child = pid }
        let deadline = SystemClock.monotonicNanoseconds() + WardenSupervisor.startDeadline
        while true {
            do {
                return try makeClient()
            } catch {
                var status: Int32 = 0
                guard waitpid(pid, &status, WNOHANG) == 0 else {
                    throw SkalaError(.unavailable, "\(configuration.wardenPath) ended at once with status \(status)")
                }
                guard SystemClock.monotonicNanoseconds() < deadline else {
                    throw SkalaError(.timedOut, "\(configuration.wardenPath) does not answer", cause: error)
                }
                usleep(2000)
            }
        }
    }

    private func connectionLost(_ lost: WardenClient) {
        let shouldReconnect = state.withLock { state in
            guard !state.isClosing, state.client === lost, !state.isConnecting else { return false }
            state.client = nil
            state.isConnecting = true
            return true
        }
        guard shouldReconnect else { return }
        log.error("the connection to the warden is lost")
        Task {
            if let child = state.withLock({ $0.child }) {
                // The connection may be lost before the process is: without a wait it is reaped at the next loss.
                _ = try? await threads.run { waitpid(child, nil, WNOHANG) }
            }
            var delay: UInt64 = 10_000_000
            while state.withLock({ !$0.isClosing }) {
                do {
                    let isNew = try await connect()
                    if isNew {
                        log.error("the warden had ended, and the containers on this host with it; a new one runs")
                        handlers.withLock { $0.onReplaced }()
                    } else if let list = try? await request("list", [:]) {  // else it is lost again, which is noticed
                        let onEvent = handlers.withLock { $0.onEvent }
                        for event in WardenClient.exits(in: list) { onEvent(event) }
                    }
                    return
                } catch {
                    log.error("cannot start the warden", ["error": "\(error)"])
                    try? await Task.sleep(nanoseconds: delay)  // never cancelled
                    delay = min(delay * 2, 5_000_000_000)
                }
            }
        }
    }
}
