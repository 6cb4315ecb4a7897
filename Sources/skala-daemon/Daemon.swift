import Base
import DockerAPI
import Engine
import Glibc
import Kernel
import Services

/// `skala-daemon`: the engine and its API in one process; started by `skala daemon` or systemd.
@main
struct Daemon {
    static func main() {
        let options: DaemonOptions
        do {
            guard let parsed = try DaemonOptions.parse(Array(CommandLine.arguments.dropFirst())) else { return }
            options = parsed
        } catch { fail("\(error)", status: 2) }
        let signals = SignalWatch([SIGTERM, SIGINT])
        let (received, queue) = AsyncStream.makeStream(of: Int32.self)
        Task.detached {
            await run(options, received)
            exit(0)
        }
        // An asynchronous main would leave this thread waiting with all signals allowed: they would end the process here.
        while true { queue.yield(signals.next()) }
    }

    private static func run(_ options: DaemonOptions, _ signals: AsyncStream<Int32>) async {
        let log = Log(level: options.logLevel, format: options.logFormat)
        do {
            let lock = try DaemonLock(path: options.configuration.runRoot + "/daemon.lock")
            defer { lock.release() }
            let engine = try await Engine(configuration: options.configuration, log: log)
            let cluster = Cluster(engine: engine)
            let api = APIServer(engine: engine, cluster: cluster)
            do {
                // First: a daemon that nobody can reach must leave no warden, bridge or rules behind.
                for address in options.addresses { try await api.listen(on: address) }
                if let address = options.metricsAddress {
                    try await api.listen(forMetricsOn: address.host, port: address.port)
                }
                try await engine.start()
                try await cluster.start()
                try await api.serve()
            } catch {
                await api.stop()
                throw error
            }
            let addresses = options.addresses.map(\.text).joined(separator: ", ")
            log.info("skala \(options.configuration.version) is ready on \(addresses)")
            for await signal in signals {
                log.info("stopping on signal \(signal); containers go on")
                break
            }
            await api.stop()
            await cluster.close()
            await engine.close()
        } catch { fail("\(error)", status: 1) }
    }

    private static func fail(_ message: String, status: Int32) -> Never {
        StandardStreams.error("skala-daemon: \(message)\n")
        exit(status)
    }
}
