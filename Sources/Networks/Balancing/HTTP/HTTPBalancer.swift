import Base
import Glibc
import Kernel

/// Balances the requests of HTTP services by one HAProxy process, which is started with the first service and ended with
/// the last. A change of members is a few commands to it; only a change of listeners, routes or services replaces it, and
/// its connections go on. It outlives the daemon; one that crashes is started again.
public actor HTTPBalancer {
    private static let pauses: [UInt64] = [0, 100, 500, 2000, 5000]
    private static let stable: Int64 = 10_000_000_000

    private let process: HTTPProxyProcess
    private let requestLog: HTTPRequestLog
    private let threads = WorkerThreads(limit: 16)
    /// For connections that are only tried: some wait.
    private let probes = WorkerThreads(limit: 8)
    private let log: Log
    private var services: [String: HTTPService] = [:]
    private var slots: [String: HTTPSlots] = [:]
    private var pid: pid_t?
    private var replaced = ReplacedProcesses()
    /// Without the servers: what must be the same for a change by commands.
    private var structure = ""
    private var crashes = 0
    private var started: Int64 = 0
    /// Changes one after another, in the order they came.
    private var last: Task<Void, any Error>?

    /// - Parameters:
    ///   - folder: of its own, there while a service is; short, for a socket is below it.
    ///   - groups: control groups of its own, one for each hierarchy, as folders.
    ///   - program: HAProxy 2.4 or later.
    ///   - onHold: called, from any thread, with the id of a service that has a request and no member.
    public init(
        folder: String, groups: [String] = [], program: String = HTTPBalancer.standardProgram, log: Log = Log(),
        onHold: @escaping @Sendable (String) -> Void = { _ in }
    ) {
        let limit = HTTPBalancer.descriptorLimit()
        process = HTTPProxyProcess(
            program: program,
            configuration: HTTPConfiguration(
                folder: folder, user: HTTPBalancer.user(), maximumConnections: max(100, min(20_000, limit / 2 - 200)),
                hasIPv6: access("/proc/net/if_inet6", F_OK) == 0),
            groups: groups)
        let (holds, continuation) = AsyncStream.makeStream(of: String.self, bufferingPolicy: .bufferingNewest(64))
        requestLog = HTTPRequestLog { continuation.yield($0) }
        self.log = log
        Task { [weak self] in
            for await backend in holds {
                guard let id = await self?.serviceID(ofBackend: backend) else { continue }
                onHold(id)
            }
        }
    }

    public static let standardProgram = "/usr/sbin/haproxy"

    private func serviceID(ofBackend backend: String) -> String? {
        services.keys.first { HTTPConfiguration.backend($0) == backend }
    }

    /// - Throws: `.unavailable` naming the Debian package when there is no such program.
    public nonisolated func requireProgram() throws(SkalaError) {
        guard access(process.program, X_OK) != 0 else { return }
        throw SkalaError(
            .unavailable,
            "requests are balanced by HAProxy, and there is no \(process.program): install the Debian package haproxy")
    }

    /// The groups a host's layout has room for.
    public static func groups(_ name: String, _ layout: CgroupLayout) -> [String] {
        ([layout.version2] + ["memory", "cpu", "pids"].map { layout.version1[$0] }).compactMap {
            $0.map { $0 + "/" + name }
        }
    }

    private static func descriptorLimit() -> Int {
        var limit = rlimit()
        getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        return Int(clamping: limit.rlim_max)
    }

    /// The package's own user, or nobody.
    private static func user() -> (uid: UInt32, gid: UInt32) {
        // Every host has the file.
        let text = (try? SmallFile.text("/etc/passwd")) ?? ""
        for line in text.split(separator: "\n") where line.hasPrefix("haproxy:") {
            let fields = line.split(separator: ":", omittingEmptySubsequences: false)
            if fields.count > 3, let uid = UInt32(fields[2]), let gid = UInt32(fields[3]) { return (uid, gid) }
        }
        return (65534, 65534)
    }

    /// Takes over the services, and the process, of the daemon before; to be called once, first.
    public func restore() async throws {
        try await inOrder { try await $0.takeOver() }
    }

    /// Makes a service reachable, or changes it. Idempotent. When it returns new requests go where it says.
    ///
    /// - Throws: `.invalid` for a malformed route or certificate, `.system` when a port is another's; then what was before
    ///   goes on.
    public func set(_ service: HTTPService) async throws {
        try service.validate()
        try await inOrder { try await $0.change(service.id, service) }
    }

    /// Changes who answers a service's requests. Those being answered are finished.
    ///
    /// - Throws: `.notFound` for an unknown service.
    public func setMembers(of id: String, _ members: [HTTPService.Member]) async throws {
        try await inOrder { balancer in
            guard var service = await balancer.services[id] else {
                throw SkalaError(.notFound, "no such HTTP service: \(id)")
            }
            service.members = members
            try await balancer.change(id, service)
        }
    }

    /// Takes a service away; with the last one the process ends, after 30 s at most. No error when it is not there.
    public func remove(_ id: String) async throws { try await inOrder { try await $0.change(id, nil) } }

    public var serviceIDs: [String] { services.keys.sorted() }
    public func service(_ id: String) -> HTTPService? { services[id] }
    public var processID: Int32? { pid }

    /// What was counted of each service; empty while no process runs. 0.5 ms, and more with many members.
    public func metrics() async throws -> [String: HTTPMetrics] {
        guard pid != nil else { return [:] }
        let process = process
        // Backends and servers.
        let counted = HTTPMetrics.parse(try await threads.run { try process.ask("show stat -1 6 -1") })
        var result: [String: HTTPMetrics] = [:]
        for id in services.keys {
            let backend = HTTPConfiguration.backend(id)
            guard let (metrics, servers) = counted[backend] else { continue }
            result[id] = metrics
            if let (p50, p95, p99) = requestLog.quantiles(of: backend) {
                result[id]?.latencyMilliseconds = [50: p50, 95: p95, 99: p99]
            }
            for (slot, member) in (slots[id]?.members ?? []).enumerated() {
                guard let member else { continue }
                result[id]?.concurrencyOfMembers[member.id] = servers[HTTPSlots.name(slot)] ?? 0
            }
        }
        return result
    }

    /// Waits until a member that has left has answered the requests it had.
    ///
    /// - Parameter limit: nanoseconds; no longer than that.
    public func waitUntilIdle(_ member: String, of id: String, limit: Int64) async {
        let deadline = SystemClock.monotonicNanoseconds() + limit
        let process = process
        let backend = HTTPConfiguration.backend(id)
        var pause: UInt64 = 5_000_000
        while pid != nil, let slot = slots[id]?.left[member] {
            // One that cannot be asked has no requests, or will be asked again.
            let text = (try? await threads.run { try process.ask("show stat \(backend) 4 -1") }) ?? ""
            let isIdle = (HTTPMetrics.parse(text)[backend]?.servers[HTTPSlots.name(slot)] ?? 0) == 0
            // What processes that were replaced have under way is not told; they end with it.
            if isIdle, !replaced.mayHaveRequests { return }
            guard SystemClock.monotonicNanoseconds() < deadline else { return }
            try? await Task.sleep(nanoseconds: pause)  // never cancelled
            pause = min(pause * 2, 100_000_000)
        }
    }

    /// Whether a connection is accepted within 200 ms.
    public func answers(_ address: IPAddress, _ port: UInt16) async -> Bool {
        // An error means the same.
        (try? await probes.run { TCPProbe.answers(address, port, milliseconds: 200) }) ?? false
    }

    private func inOrder(_ body: @escaping @Sendable (HTTPBalancer) async throws -> Void) async throws {
        let before = last
        let task = Task {
            _ = await before?.result
            try await body(self)
        }
        last = task
        try await task.value
    }

    // MARK: changes

    private func change(_ id: String, _ service: HTTPService?) async throws {
        if service == nil, services[id] == nil { return }
        let (oldServices, oldSlots) = (services, slots)
        services[id] = service
        do {
            guard !services.isEmpty else { return try await stop() }
            let commands = service.map { service in
                slots[id]?.change(to: service.members, backend: HTTPConfiguration.backend(id))
            }
            if service == nil {
                slots[id] = nil
                requestLog.forget(HTTPConfiguration.backend(id))
            }
            if let service, slots[id] == nil || commands == .some(.none) { slots[id] = HTTPSlots(service.members) }
            if pid != nil, let commands = commands ?? nil, structureText() == structure {
                try await write()
                if commands.isEmpty { return }
                do {
                    let process = process
                    return try await threads.run { try process.change(commands) }
                } catch { log.warning("haproxy is started anew", ["error": "\(error)"]) }
            }
            try await startAnew()
        } catch {
            (services, slots) = (oldServices, oldSlots)
            // What runs is what was before; the file is for a start after a crash.
            if !services.isEmpty { try? await write() }
            throw error
        }
    }

    /// The configuration with no server but for their number.
    private func structureText() -> String {
        let text = process.configuration.text(Array(services.values), [:])
        let counts = slots.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value.members.count)" }
        return text + counts.joined(separator: "\n")
    }

    private func write() async throws {
        let configuration = process.configuration
        let text = configuration.text(Array(services.values), slots)
        let certificates = Set(services.values.flatMap { $0.listeners.map(\.certificate) }).subtracting([""])
        let record = JSON(services.values.sorted { $0.id < $1.id }.map(\.json))
        let holds = services.values.contains { $0.hold > 0 }
        try await threads.run {
            try FileContents.makeDirectories(configuration.folder, mode: 0o700)
            // The process enters it as a user of its own.
            try FileContents.makeDirectories(configuration.root, mode: 0o711)
            if holds {
                try FileContents.replace(
                    configuration.holdScript, with: Array(HTTPConfiguration.hold.utf8), mode: 0o600)
            }
            for certificate in certificates {
                try FileContents.replace(
                    configuration.certificateFile(certificate), with: Array(certificate.utf8), mode: 0o600)
            }
            try FileContents.replace(configuration.folder + "/services.json", with: record.bytes, mode: 0o600)
            try FileContents.replace(configuration.file, with: Array(text.utf8), mode: 0o600)
            // Certificates that no service has any more.
            let kept = Set(certificates.map(configuration.certificateFile))
            for name in try FileContents.names(in: configuration.folder) where name.hasSuffix(".pem") {
                let path = configuration.folder + "/" + name
                if !kept.contains(path) { unlink(path) }
            }
        }
    }

    private func startAnew() async throws {
        try await write()
        try requestLog.open(process.configuration.logSocket, user: process.configuration.user)
        let (process, old) = (process, pid)
        if let old { replaced.add(old) }
        // What ran before it crashed was checked then.
        let isChecked = structure == structureText()
        do {
            let new = try await threads.run {
                if !isChecked { try process.check(process.configuration.file) }
                // One that has just crashed cannot hand over its sockets.
                return try process.start(replacing: process.running() == old ? old : nil)
            }
            begin(new)
            if let surplus = replaced.surplus { kill(surplus, SIGTERM) }
        } catch {
            if let old, !replaced.remove(old) {
                // It has ended meanwhile, and was not started again.
                Task { await ended(old) }
            }
            throw error
        }
    }

    private func begin(_ new: pid_t) {
        pid = new
        started = SystemClock.monotonicNanoseconds()
        structure = structureText()
        // Without it the next daemon starts a process of its own.
        try? FileContents.replace(process.structureFile, with: Array(structure.utf8), mode: 0o600)
        threads.submit { [weak self] in
            HTTPProxyProcess.wait(new)
            Task { [weak self] in await self?.ended(new) }
        }
    }

    private func ended(_ process: pid_t) async {
        let proxy = self.process
        // The last of them leaves nothing.
        if services.isEmpty { threads.submit { proxy.removeGroups() } }
        // One that was replaced, or should end.
        guard !replaced.remove(process), pid == process else { return }
        pid = nil
        crashes = SystemClock.monotonicNanoseconds() - started > HTTPBalancer.stable ? 0 : crashes + 1
        log.error("haproxy has ended", ["process": "\(process)"])
        await revive()
    }

    /// Starts the process that should be there, until it runs.
    private func revive() async {
        while pid == nil, !services.isEmpty {
            let pause = HTTPBalancer.pauses[min(crashes, HTTPBalancer.pauses.count - 1)]
            log.info("haproxy is started", ["milliseconds": "\(pause)"])
            try? await Task.sleep(nanoseconds: pause * 1_000_000)  // never cancelled
            do {
                try await inOrder { balancer in
                    guard await balancer.pid == nil, await !balancer.services.isEmpty else { return }
                    try await balancer.startAnew()
                }
            } catch {
                log.error("haproxy does not start", ["error": "\(error)"])
                crashes += 1
            }
        }
    }

    private func stop() async throws {
        let (process, old) = (process, pid)
        pid = nil
        slots = [:]
        structure = ""
        requestLog.close()
        try await threads.run {
            if let old { kill(old, SIGUSR1) }
            let folder = process.configuration.folder
            if access(folder, F_OK) == 0 { try FileContents.removeTree(folder) }
        }
        guard let old else { return }
        threads.submit {
            HTTPProxyProcess.wait(old)
            process.removeGroups()
        }
    }

    /// Goes on with the process of the daemon before, when that is what would be started: then nothing happens to
    /// requests. Its slots are asked for.
    private func adopt() async throws -> Bool {
        let process = process
        let (saved, text) = try await threads.run {
            (try SmallFile.text(process.structureFile), try process.ask("show servers state"))
        }
        let servers = HTTPSlots.servers(text)
        for (id, service) in services {
            guard let own = servers[HTTPConfiguration.backend(id)] else { return false }
            slots[id] = HTTPSlots(servers: own, known: service.members)
        }
        structure = structureText()
        guard structure == saved else { return false }
        for (id, service) in services {
            guard let commands = slots[id]?.change(to: service.members, backend: HTTPConfiguration.backend(id)) else {
                return false
            }
            if !commands.isEmpty { try await threads.run { try process.change(commands) } }
        }
        try requestLog.open(process.configuration.logSocket, user: process.configuration.user)
        started = SystemClock.monotonicNanoseconds()
        return true
    }

    private func takeOver() async throws {
        let process = process
        let (bytes, running) = try await threads.run {
            // None when there was no service.
            (try? FileContents.read(process.configuration.folder + "/services.json"), process.running())
        }
        do {
            for json in try bytes.map({ try JSON(parsing: $0) })?.array ?? [] {
                let service = try HTTPService(json: json)
                services[service.id] = service
            }
        } catch { log.error("the record of HTTP services cannot be read", ["error": "\(error)"]) }
        pid = running
        guard !services.isEmpty else { return try await stop() }
        if let running {
            threads.submit { [weak self] in
                HTTPProxyProcess.wait(running)
                Task { [weak self] in await self?.ended(running) }
            }
        }
        // What keeps it from being adopted, a new one mends.
        if running != nil, (try? await adopt()) == true { return }
        structure = ""
        for (id, service) in services { slots[id] = HTTPSlots(service.members) }
        do {
            try await startAnew()
        } catch {
            log.error("haproxy does not start", ["error": "\(error)"])
            Task { await revive() }
        }
    }
}
