import Base
import Glibc
import Kernel
import Synchronization
import Testing

/// A real daemon and warden with folders, bridge and addresses of their own, driven by real clients.
final class EngineFixture: Sendable {
    /// The engine of the enclosing suite.
    @TaskLocal static var current: EngineFixture?

    let folder: String
    let bridge: String
    let subnet: String
    let programs: String
    private let daemon = Mutex<BackgroundDaemon?>(nil)
    private let guardian: BackgroundProcess
    private static let count = Atomic<Int>(0)

    var environment: [String: String] {
        var all = ProcessEnvironment.inherited
        all["DOCKER_HOST"] = "unix://\(folder)/run/skala.sock"
        all["DOCKER_CONFIG"] = folder + "/docker"
        all["HOME"] = folder + "/home"
        all["SUPPORT"] = EngineFixture.supportFolder
        all["ENGINE"] = folder
        all["PROGRAMS"] = programs
        all["BRIDGE"] = bridge
        let octets = subnet.split(separator: ".").map(String.init)
        all["SUBNET"] = octets.prefix(2).joined(separator: ".")
        all["BRIDGEHOST"] = octets[2] + ".1"
        for name in ["http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "DOCKER_CONTEXT"] { all[name] = nil }
        return all
    }

    static let supportFolder = "/" + #filePath.split(separator: "/").dropLast(2).joined(separator: "/") + "/Scripts/"

    /// Why there can be no engine here, or nil.
    static var obstacle: String? {
        if getuid() != 0 { return "needs root" }
        if programFolder == nil { return "skala-daemon and skala-warden are not built" }
        if access("/usr/bin/busybox", X_OK) != 0 { return "needs busybox-static" }
        if ProcessEnvironment.find("docker") == nil { return "needs the docker command" }
        return nil
    }

    /// Beside the test bundle.
    static var programFolder: String? {
        for argument in CommandLine.arguments {
            let parts = argument.split(separator: "/")
            guard let index = parts.firstIndex(where: { $0.hasSuffix(".xctest") }) else { continue }
            let folder = "/" + parts[..<index].joined(separator: "/")
            let hasBoth = ["daemon", "warden"].allSatisfy { access("\(folder)/skala-\($0)", X_OK) == 0 }
            if hasBoth { return folder }
        }
        return nil
    }

    /// Folders, and a guardian that cleans up even when this process is killed; the daemon is not started.
    init() throws {
        let number = EngineFixture.count.add(1, ordering: .relaxed).newValue
        let name = "skala-it-\(getpid())-\(number)"
        folder = "/tmp/" + name
        // At most 15 characters.
        bridge = "sk\(getpid() % 1_000_000)i\(number)"
        subnet = try EngineFixture.freeSubnet(first: Int(getpid()) * 16 + number)
        guard let programs = EngineFixture.programFolder else { throw SkalaError(.unavailable, "no programs") }
        self.programs = programs
        for part in ["/home", "/docker", "/work", "/run"] { try FileContents.makeDirectories(folder + part) }
        try FileContents.replace(folder + "/docker/config.json", with: Array("{}".utf8))
        let hash = (folder + "/run").utf8.reduce(UInt32(2_166_136_261)) { ($0 ^ UInt32($1)) &* 16_777_619 }
        let tag = Hexadecimal.encode([UInt8(hash >> 8 & 255), UInt8(hash & 255)])
        try FileContents.replace(folder + "/tag", with: Array(tag.utf8))
        guardian = try BackgroundProcess(
            ["/bin/sh", EngineFixture.supportFolder + "cleanup.sh", folder, bridge, "wait"],
            environment: ProcessEnvironment.inherited, folder: "/")
    }

    /// Of 10.64.0.0/10 a part that no interface of the host has; parts go round, so that an engine that is made at the
    /// same moment has another one.
    private static func freeSubnet(first: Int) throws -> String {
        // Lines of hexadecimal columns; the second is the destination, its first byte last.
        let routes = try FileContents.read("/proc/net/route").split(separator: UInt8(ascii: "\n")).dropFirst().map {
            String(decoding: $0.split(separator: UInt8(ascii: "\t"))[1], as: UTF8.self)
        }
        for number in 0..<256 {
            let (second, third) = (UInt8(64 + (first + number) / 4 % 64), UInt8((first + number) % 4 * 64))
            let destination = Hexadecimal.encode([0, third, second, 10]).uppercased()
            if !routes.contains(destination) { return "10.\(second).\(third).0/18" }
        }
        throw SkalaError(.exhausted, "no free addresses for one more engine")
    }

    // MARK: daemon

    /// The daemon's process; nil when it does not run.
    var daemonProcess: pid_t? { daemon.withLock { $0?.pid } }

    /// Starts the daemon and waits until it answers.
    ///
    /// - Parameter wrapper: a command that runs it, such as strace.
    func startDaemon(wrapper: [String] = [], options: [String] = []) async throws {
        let arguments =
            wrapper + [
                programs + "/skala-daemon", "--data-root", folder + "/data", "--run-root", folder + "/run", "--bridge",
                bridge, "--subnet", subnet, "--warden", programs + "/skala-warden",
            ] + options
        let process = try BackgroundDaemon(arguments, environment: environment, log: folder + "/daemon.log")
        daemon.withLock { $0 = process }
        let limit = SystemClock.monotonicNanoseconds() + 20_000_000_000
        while true {
            if let client = try? UnixSocket.connect(folder + "/run/skala.sock") {  // not listening yet
                client.close()
                return
            }
            guard process.isRunning, SystemClock.monotonicNanoseconds() < limit else {
                throw SkalaError(.unavailable, "the daemon does not start:\n" + log)
            }
            try await Task.sleep(for: .milliseconds(5))
        }
    }

    /// Ends the daemon with a signal and waits for it; the warden and the containers go on.
    func endDaemon(_ signal: Int32) {
        daemon.withLock { process in
            defer { process = nil }
            process?.end(signal)
        }
    }

    /// What the daemon logged.
    var log: String {
        // Missing before the first start.
        (try? SmallFile.text(folder + "/daemon.log")) ?? ""
    }

    /// The warden's process, found by its command line.
    var wardenProcess: pid_t? {
        let socket = folder + "/run/warden.sock"
        for name in (try? FileContents.names(in: "/proc")) ?? [] {  // /proc is always there
            guard let pid = pid_t(name), let line = try? SmallFile.read("/proc/\(name)/cmdline") else { continue }
            let arguments = line.split(separator: 0).map { String(decoding: $0, as: UTF8.self) }
            if arguments.first?.hasSuffix("/skala-warden") == true, arguments.contains(socket) { return pid }
        }
        return nil
    }

    /// Ends everything and removes all of it.
    func stop() {
        endDaemon(SIGTERM)
        guardian.input.close()
        _ = guardian.end(killing: false, by: SystemClock.monotonicNanoseconds() + 60_000_000_000)
    }

    // MARK: clients

    /// Runs a shell script with the docker client set to this engine.
    func run(
        _ script: String, name: String = "", folder: String? = nil, input: String = "", deadline: Double = 60
    ) async throws -> ChildProcess {
        var environment = environment
        environment["N"] = name
        return try await ChildProcess.run(
            ["/bin/bash", "-c", script], environment: environment, folder: folder ?? self.folder + "/work",
            input: Array(input.utf8), deadline: deadline)
    }

    /// Makes the image `busybox`: its program, links for its commands, and the few folders programs want.
    func importBusybox() async throws {
        let result = try await run("sh $SUPPORT/busybox.sh busybox", deadline: 30)
        guard result.code == 0 else { throw SkalaError(.system, "no busybox image: \(result.error)\n\(log)") }
    }

    /// Starts an engine with the busybox image for `body`, and cleans up after it.
    static func with(
        options: [String] = [], _ body: (EngineFixture) async throws -> Void
    ) async throws {
        let engine = try EngineFixture()
        defer { engine.stop() }
        try await engine.startDaemon(options: options)
        try await engine.importBusybox()
        try await $current.withValue(engine) { try await body(engine) }
    }
}

/// The daemon's process; its output goes to a log file.
private final class BackgroundDaemon: @unchecked Sendable {
    // @unchecked: guarded by the fixture's mutex.
    let pid: pid_t
    private var hasEnded = false

    init(_ arguments: [String], environment: [String: String], log: String) throws {
        let quoted = arguments.map { "'\($0)'" }.joined(separator: " ")
        let process = try BackgroundProcess(
            ["/bin/sh", "-c", "echo $$; exec \(quoted) >>'\(log)' 2>&1 </dev/null"], environment: environment,
            folder: "/")
        pid = process.pid
        self.process = process
    }

    private let process: BackgroundProcess

    var isRunning: Bool { kill(pid, 0) == 0 }

    func end(_ signal: Int32) {
        guard !hasEnded else { return }
        hasEnded = true
        kill(pid, signal)
        _ = process.end(killing: false, by: SystemClock.monotonicNanoseconds() + 20_000_000_000)
    }
}

/// The environment this process was started with.
enum ProcessEnvironment {
    static let inherited: [String: String] = {
        var all: [String: String] = [:]
        var pointer = environ
        while let entry = pointer.pointee {
            let parts = String(cString: entry).split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            if parts.count == 2 { all[String(parts[0])] = String(parts[1]) }
            pointer += 1
        }
        return all
    }()

    /// A program's path.
    static func find(_ program: String) -> String? {
        for folder in (inherited["PATH"] ?? "/usr/bin:/bin").split(separator: ":") {
            let path = "\(folder)/\(program)"
            if access(path, X_OK) == 0 { return path }
        }
        return nil
    }
}
