public import Base
import CLinux
import Glibc
import Kernel
import OCI
import WardenProtocol

/// The resident warden: runs containers for one engine at a time, on one thread.
///
/// Everything that ran is remembered until `delete`; an engine that comes back asks `list`.
public final class Warden {
    /// How long a container's setup may take, in milliseconds.
    static let startDeadline: Int64 = 60_000
    static let maximumContainers = 10_000
    /// How long a predecessor may take to be gone, in milliseconds.
    static let lockDeadline = 2000
    static let maximumStreams = 4096
    /// What containers have when nothing else is asked for: Docker's fourteen.
    private static let usualCapabilities: UInt64 = 0xA804_25FB

    let loop: EventLoop
    let layout: CgroupLayout
    let cgroupRoot: String
    /// Where device files are made on their way into a container.
    private(set) var scratch = "/tmp"
    let seccomp = SeccompCompiler()
    let descriptors = InheritedDescriptors()
    /// The machine around us, when that is a VM.
    let guest: Guest?
    var containers: [String: Container] = [:]
    var holders: [String: ContainerProcess] = [:]
    /// By process id.
    var helpers: [Int32: ContainerProcess] = [:]
    /// The process each stream belongs to.
    var streams: [UInt32: (process: ContainerProcess, attachment: Attachment)] = [:]
    /// Containers a killed predecessor left, whose processes are gone.
    private(set) var lost: [String] = []
    private var connection: Connection?
    private var listener: OwnedDescriptor?
    private var lock: OwnedDescriptor?
    /// The groups that are not below `cgroupRoot`; nil in a VM, of which nothing is left.
    private var journal: GroupJournal?

    /// - Parameter cgroupRoot: the parent of the containers' groups, such as `/skala`; what is in it is taken over.
    public convenience init(cgroupRoot: String) throws(SkalaError) {
        try self.init(cgroupRoot: cgroupRoot, guest: nil)
    }

    init(cgroupRoot: String, guest: Guest?) throws(SkalaError) {
        do {
            loop = try EventLoop()
            layout = try CgroupLayout.detect()
        } catch {
            throw error.asSkalaError
        }
        self.cgroupRoot = cgroupRoot
        self.guest = guest
    }

    /// Listens at `path` (mode 0600) until SIGTERM or SIGINT; then kills and removes all containers.
    ///
    /// - Throws: `.conflict` when another warden serves that socket.
    public func serve(socket path: String) throws {
        signal(SIGPIPE, SIG_IGN)
        let lock = try OwnedDescriptor.open(path + ".lock", O_RDWR | O_CREAT)
        // A predecessor that was just killed holds the lock until the kernel has taken it apart.
        var left = Warden.lockDeadline / 10
        while cl_lock_file(lock.raw) != 0, left > 0 {
            usleep(10_000)
            left -= 1
        }
        guard left > 0 else {
            throw SkalaError(.conflict, "another warden serves \(path)")
        }
        self.lock = lock
        scratch = path.lastIndex(of: "/").map { String(path[..<$0]) } ?? "."
        journal = try GroupJournal(file: path + ".groups", root: cgroupRoot)
        removeLeftovers()
        try listen(path)
        try run()
        unlink(path)
    }

    /// Serves the engine at the other end of a VM's port; see `serve(socket:)`.
    func serve(port: OwnedDescriptor) throws {
        signal(SIGPIPE, SIG_IGN)
        // In the template, so that no clone has to.
        _ = try seccomp.filter(for: ["profile": "default"], capabilities: Warden.usualCapabilities)
        connection = try connect(port, .port)
        try run()
    }

    private func run() throws {
        try watchSignals()
        try loop.run()
        for container in containers.values {
            container.cgroup.kill()
            container.cgroup.remove()
        }
        journal?.removeParents()
        // Ours when it is empty. Otherwise, or after a kill, it is the next warden's.
        for root in hierarchies { rmdir(root + cgroupRoot) }
    }

    private func connect(_ file: OwnedDescriptor, _ carrier: Connection.Carrier) throws(KernelError) -> Connection {
        try Connection(
            loop: loop, file: file, carrier: carrier, onFrame: { [unowned self] in receive($1, from: $0) },
            onClose: { [unowned self] in disconnected($0) })
    }

    private var hierarchies: Set<String> { Set(layout.version1.values).union([layout.version2].compactMap { $0 }) }

    private func listen(_ path: String) throws {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let capacity = MemoryLayout.size(ofValue: address.sun_path)
        guard path.utf8.count < capacity else { throw SkalaError(.invalid, "socket path too long: '\(path)'") }
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
        let kind = Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue)
        let socket = OwnedDescriptor(try checkErrno(Glibc.socket(AF_UNIX, kind, 0), "socket", path))
        unlink(path)
        let mask = umask(0o177)
        let bound = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(socket.raw, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        umask(mask)
        try checkErrno(bound, "bind", path)
        try checkErrno(Glibc.listen(socket.raw, 16), "listen", path)
        listener = socket
        try loop.watch(socket.raw, .readable) { [unowned self] _ in accept() }
    }

    private func watchSignals() throws {
        var set = sigset_t()
        sigemptyset(&set)
        for number in [SIGTERM, SIGINT, SIGCHLD] { sigaddset(&set, number) }
        sigprocmask(SIG_BLOCK, &set, nil)
        let file = OwnedDescriptor(
            try checkErrno(signalfd(-1, &set, Int32(O_CLOEXEC | O_NONBLOCK)), "signalfd"))
        let isFirst = getpid() == 1
        try loop.watch(file.raw, .readable) { [unowned self] _ in
            var info = signalfd_siginfo()
            while Glibc.read(file.raw, &info, MemoryLayout<signalfd_siginfo>.size) > 0 {
                if info.ssi_signo != UInt32(SIGCHLD) { loop.stop() }
            }
            if isFirst { reapOrphans() }
        }
    }

    /// As process 1 the warden inherits every orphan. Those are reaped one by one, by id: a wait for any child would also
    /// take the exit codes of its own.
    private func reapOrphans() {
        let own = Set(
            containers.values.flatMap { [$0.first] + Array($0.execs.values) }.map(\.launch.pid)
                + holders.values.map(\.launch.pid) + helpers.keys)
        // Without the list (no CONFIG_PROC_CHILDREN) orphans stay zombies.
        let children = (try? SmallFile.text("/proc/self/task/1/children")) ?? ""
        for child in children.split(separator: " ").compactMap({ Int32($0) }) where !own.contains(child) {
            waitpid(child, nil, WNOHANG)
        }
    }

    private func accept() {
        guard let listener else { return }
        let result = cl_accept4(listener.raw, Int32(SOCK_NONBLOCK.rawValue))
        guard result >= 0 else { return }
        let socket = OwnedDescriptor(result)
        connection?.close()
        do {
            connection = try connect(socket, .socket)
        } catch {
            // No memory for another descriptor: the engine tries again.
            socket.close()
        }
    }

    private func disconnected(_ closed: Connection) {
        if connection === closed, !closed.isOpen { connection = nil }
        endSession()
    }

    /// What an engine used ends with its connection.
    func endSession() {
        for (stream, entry) in streams {
            entry.process.streams.detach(stream, closesInput: entry.process.closesInputWithClient)
            endHelper(entry.process)
        }
        streams = [:]
        // Whoever used what is held is gone, or asks again.
        for holder in holders.values { discard(holder) }
        holders = [:]
    }

    /// A container's group, below our parent or another one.
    func controlGroup(_ path: String) throws(SkalaError) -> ControlGroup {
        let parent = path.split(separator: "/").dropLast()
        let isOwn = Array(parent) == cgroupRoot.split(separator: "/")
        return try ControlGroup(path: path, layout: layout, journal: isOwn ? nil : journal)
    }

    /// Kills and removes what a killed predecessor left, below our parent group and elsewhere.
    private func removeLeftovers() {
        var names: Set<String> = []
        for root in hierarchies {
            let directory = root + cgroupRoot
            // No such directory: nothing is left there.
            for name in (try? FileContents.names(in: directory)) ?? [] where name.count == Identifier.length {
                names.insert(name)
            }
        }
        for path in names.map({ cgroupRoot + "/" + $0 }) + (journal?.groups ?? []) {
            // One that no group can have is none's.
            guard let group = try? controlGroup(path) else { continue }
            group.adopt()
            group.remove()
            if let name = path.split(separator: "/").last { names.insert(String(name)) }
        }
        journal?.removeParents()
        lost = names.sorted()
    }

    func emit(_ event: JSON) { connection?.send(Frame(.event, number: 0, payload: event.bytes)) }

    private func receive(_ frame: Frame, from connection: Connection) {
        switch frame.kind {
        case .request: request(frame, connection)
        case .data: if !input(frame) { connection.close() }
        case .credit:
            streams[frame.number]?.process.streams.grantOutput(frame.number, Int(frame.creditCount ?? 0))
            forgetStreamIfEnded(frame.number)
        case .answer, .failure, .event: connection.close()
        }
    }

    private func request(_ frame: Frame, _ connection: Connection) {
        let number = frame.number
        let reply = Reply { [weak connection] result in
            switch result {
            case .success(let json): connection?.send(Frame(.answer, number: number, payload: json.bytes))
            case .failure(let error):
                let failure: JSON = ["code": JSON(error.code.rawValue), "message": JSON(error.message)]
                connection?.send(Frame(.failure, number: number, payload: failure.bytes))
            }
        }
        do {
            try perform(JSON(parsing: frame.payload), reply) { [weak connection] in connection?.send($0) }
        } catch let error as SkalaError {
            reply.fail(error)
        } catch let error as KernelError {
            reply.fail(error.asSkalaError)
        } catch {
            reply.fail(SkalaError(.system, "\(error)"))
        }
    }

    /// False when the client sent more than it may.
    private func input(_ frame: Frame) -> Bool {
        // Data for a stream that has just been detached is dropped.
        guard let (process, attachment) = streams[frame.number] else { return true }
        guard frame.channel == 0, attachment.wantsInput else { return false }
        if frame.payload.isEmpty {
            if process.closesInputWithClient { process.streams.endInput() }
            return true
        }
        return process.streams.receive(frame.payload, from: attachment)
    }
}

/// Answers one request, once.
final class Reply {
    private var send: ((Result<JSON, SkalaError>) -> Void)?

    init(_ send: @escaping (Result<JSON, SkalaError>) -> Void) { self.send = send }

    func answer(_ json: JSON) { finish(.success(json)) }
    func fail(_ error: SkalaError) { finish(.failure(error)) }

    private func finish(_ result: Result<JSON, SkalaError>) {
        send?(result)
        send = nil
    }
}
