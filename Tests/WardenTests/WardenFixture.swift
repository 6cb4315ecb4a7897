import Base
import Glibc
import Kernel
import WardenProtocol

/// A real warden on a socket of its own, and a blocking client. Everything goes with `stop`.
final class WardenFixture {
    static let deadline: Int64 = 20_000_000_000

    let folder: String
    let cgroup: String
    let executable: String
    private(set) var pid: pid_t = 0
    private var socket: OwnedDescriptor?
    private var decoder = FrameDecoder()
    private var lastNumber: UInt32 = 0
    private var events: [JSON] = []
    /// The bytes of each stream and channel, and whether it ended.
    private(set) var output: [String: [UInt8]] = [:]
    private(set) var ended: Set<String> = []
    private var count = 0

    /// Nil, with the reason printed, where containers cannot run.
    static func make() throws -> WardenFixture? {
        guard getuid() == 0 else { return skip("needs root") }
        guard access("/usr/bin/busybox", X_OK) == 0 else { return skip("needs busybox-static") }
        guard let executable = findExecutable() else { return skip("skala-warden is not built") }
        let fixture = try WardenFixture(executable: executable)
        try fixture.start()
        return fixture
    }

    private static func skip(_ reason: String) -> WardenFixture? {
        print("SKIP: \(reason)")
        return nil
    }

    /// Beside the test bundle.
    static func findExecutable() -> String? {
        for argument in CommandLine.arguments {
            guard let range = argument.split(separator: "/").firstIndex(where: { $0.hasSuffix(".xctest") }) else {
                continue
            }
            let path = "/" + argument.split(separator: "/")[..<range].joined(separator: "/") + "/skala-warden"
            if access(path, X_OK) == 0 { return path }
        }
        return nil
    }

    private init(executable: String) throws {
        self.executable = executable
        let name = String(Identifier.make().prefix(12))
        folder = "/tmp/skala-test-" + name
        cgroup = "/skala-test-" + name
        let base = folder + "/base"
        for directory in ["bin", "etc", "proc", "sys", "dev", "tmp", "root"] {
            try FileContents.makeDirectories(base + "/" + directory)
        }
        let program = try SmallFile.read("/usr/bin/busybox", limit: 16 << 20)
        let file = try OwnedDescriptor.open(base + "/bin/busybox", O_WRONLY | O_CREAT, mode: 0o755)
        _ = program.withUnsafeBytes { write(file.raw, $0.baseAddress, $0.count) }
        for name in [
            "sh", "cat", "true", "id", "sleep", "tail", "ls", "head", "hostname", "tty", "stty", "dd", "readlink",
        ] {
            symlink("busybox", base + "/bin/" + name)
        }
    }

    func start() throws {
        let arguments = [executable, "--socket", folder + "/socket", "--cgroup", cgroup]
        var pointers: [UnsafeMutablePointer<CChar>?] = arguments.map { strdup($0) }
        pointers.append(nil)
        defer { for pointer in pointers { free(pointer) } }
        let failed = posix_spawn(&pid, executable, nil, nil, pointers, environ)
        guard failed == 0 else { throw KernelError("posix_spawn", executable, errno: failed) }
        try connect()
    }

    private func connect() throws {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let path = folder + "/socket"
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
        let limit = SystemClock.monotonicNanoseconds() + WardenFixture.deadline
        while true {
            let client = OwnedDescriptor(
                try checkErrno(Glibc.socket(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0), "socket"))
            let result = withUnsafePointer(to: &address) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    Glibc.connect(client.raw, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
                }
            }
            if result == 0 {
                socket = client
                decoder = FrameDecoder()
                return
            }
            guard SystemClock.monotonicNanoseconds() < limit else { throw SkalaError(.timedOut, "no warden") }
            usleep(5000)
        }
    }

    /// Ends the warden with a signal and waits for it.
    func end(_ signal: Int32) {
        guard pid > 0 else { return }
        kill(pid, signal)
        waitpid(pid, nil, 0)
        pid = 0
    }

    func stop() {
        end(SIGTERM)
        if let layout = try? CgroupLayout.detect() {
            for root in Set(layout.version1.values).union([layout.version2].compactMap { $0 }) { rmdir(root + cgroup) }
        }
        let arguments = ["rm", "-rf", folder]
        var pointers: [UnsafeMutablePointer<CChar>?] = arguments.map { strdup($0) }
        pointers.append(nil)
        var child: pid_t = 0
        if posix_spawn(&child, "/bin/rm", nil, nil, pointers, environ) == 0 { waitpid(child, nil, 0) }
        for pointer in pointers { free(pointer) }
    }

    func send(_ frame: Frame) throws {
        guard let socket else { throw SkalaError(.unavailable, "not connected") }
        var bytes: [UInt8] = []
        frame.write(to: &bytes)
        let count = bytes.withUnsafeBytes { Glibc.send(socket.raw, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
        guard count == bytes.count else { throw SkalaError(.unavailable, "connection lost") }
    }

    private func receive() throws -> Frame {
        guard let socket else { throw SkalaError(.unavailable, "not connected") }
        while true {
            if let frame = try decoder.next() { return frame }
            var poller = pollfd(fd: socket.raw, events: Int16(POLLIN), revents: 0)
            guard poll(&poller, 1, Int32(WardenFixture.deadline / 1_000_000)) == 1 else {
                throw SkalaError(.timedOut, "no frame from the warden")
            }
            var chunk = [UInt8](repeating: 0, count: 65536)
            let count = recv(socket.raw, &chunk, chunk.count, 0)
            guard count > 0 else { throw SkalaError(.unavailable, "connection lost") }
            decoder.append(chunk[..<count])
        }
    }

    /// Takes what is sent without saying so, until `catchUp`.
    var isSlow = false
    private var owed: [Frame] = []

    func catchUp() throws {
        isSlow = false
        for credit in owed { try send(credit) }
        owed = []
    }

    private func take(_ frame: Frame) throws {
        switch frame.kind {
        case .event: events.append(try JSON(parsing: frame.payload))
        case .data:
            let key = "\(frame.number).\(frame.channel)"
            if frame.payload.isEmpty { ended.insert(key) }
            output[key, default: []].append(contentsOf: frame.payload)
            if !frame.payload.isEmpty {
                let credit = Frame.credit(stream: frame.number, count: UInt32(frame.payload.count))
                if isSlow { owed.append(credit) } else { try send(credit) }
            }
        default: break
        }
    }

    @discardableResult
    func perform(_ operation: String, _ fields: JSON = [:]) throws -> JSON {
        lastNumber += 1
        var request = fields
        request["op"] = JSON(operation)
        try send(Frame(.request, number: lastNumber, payload: request.bytes))
        while true {
            let frame = try receive()
            if frame.number == lastNumber, frame.kind == .answer { return try JSON(parsing: frame.payload) }
            if frame.number == lastNumber, frame.kind == .failure {
                let failure = try JSON(parsing: frame.payload)
                throw SkalaError(
                    SkalaError.Code(rawValue: failure["code"].string ?? "") ?? .system, failure["message"].string ?? "")
            }
            try take(frame)
        }
    }

    /// Waits for the end of a container's first process or an exec.
    func waitForExit(_ id: String, exec: String? = nil) throws -> JSON {
        while true {
            if let index = events.firstIndex(where: {
                $0["event"].string == "exit" && $0["id"].string == id && $0["exec"].string == exec
            }) {
                return events.remove(at: index)
            }
            try take(try receive())
        }
    }

    func waitForEnd(stream: UInt32, channel: UInt8) throws {
        while !ended.contains("\(stream).\(channel)") { try take(try receive()) }
    }

    func text(stream: UInt32, channel: UInt8 = 1) -> String {
        String(decoding: output["\(stream).\(channel)"] ?? [], as: UTF8.self)
    }

    /// A new overlay over the base.
    func makeRoot() throws -> JSON {
        count += 1
        let directory = "\(folder)/root\(count)"
        for name in ["upper", "work"] { try FileContents.makeDirectories(directory + "/" + name) }
        return [
            "lower": [JSON(folder + "/base")], "upper": JSON(directory + "/upper"), "work": JSON(directory + "/work"),
        ]
    }

    /// Runs a shell script in a container to its end; its standard output and exit event.
    func run(_ script: String, _ change: (inout JSON) -> Void = { _ in }) throws -> (text: String, exit: JSON) {
        let id = Identifier.make()
        let log = folder + "/" + id + ".log"
        var request: JSON = [
            "id": JSON(id), "spec": WardenFixture.spec(["sh", "-c", JSON(script)]), "rootfs": try makeRoot(),
            "io": ["log": ["path": JSON(log)]], "start": true,
        ]
        change(&request)
        try perform("create", request)
        let exit = try waitForExit(id)
        try perform("delete", ["id": JSON(id)])
        var text = ""
        for line in try SmallFile.text(log).split(separator: "\n") {
            text += try JSON(parsing: String(line))["log"].string ?? ""
        }
        return (text, exit)
    }

    static func process(_ arguments: JSON) -> JSON {
        let capabilities: JSON = ["CAP_CHOWN", "CAP_KILL", "CAP_SETUID", "CAP_SETGID", "CAP_MKNOD", "CAP_SYS_CHROOT"]
        return [
            "args": arguments, "env": ["PATH=/bin"], "cwd": "/",
            "capabilities": ["bounding": capabilities, "effective": capabilities, "permitted": capabilities],
        ]
    }

    static func spec(_ arguments: JSON) -> JSON {
        func mount(_ type: String, _ path: String, _ options: JSON) -> JSON {
            ["destination": JSON(path), "type": JSON(type), "source": JSON(type), "options": options]
        }
        return [
            "process": process(arguments), "hostname": "box",
            "mounts": [
                mount("proc", "/proc", ["nosuid", "noexec", "nodev"]),
                mount("tmpfs", "/dev", ["nosuid", "strictatime", "mode=755", "size=65536k"]),
                mount(
                    "devpts", "/dev/pts", ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]),
                mount("sysfs", "/sys", ["nosuid", "noexec", "nodev", "ro"]),
            ],
            "linux": [
                "namespaces": .array(
                    ["pid", "network", "mount", "ipc", "uts", "cgroup"].map { ["type": JSON($0)] }),
                "resources": ["memory": ["limit": 67_108_864], "pids": ["limit": 64]],
                "seccomp": ["profile": "default"], "maskedPaths": ["/proc/timer_list", "/proc/acpi", "/sys/firmware"],
                "readonlyPaths": ["/proc/sys"],
            ],
        ]
    }
}
