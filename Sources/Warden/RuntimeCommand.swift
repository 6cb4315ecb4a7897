import Base
import CLinux
import Glibc
import Kernel
import OCI

/// `skala-runtime`: the OCI runtime command line over the warden's code, without a resident process.
public struct RuntimeCommand {
    /// The version of the runtime specification that is carried out.
    static let specificationVersion = "1.2.0"
    static let help = """
        usage: skala-runtime [--root DIR] [--log FILE] [--log-format text|json] [--cgroup-manager MANAGER] COMMAND ...

          create ID       make a container from a bundle (--bundle DIR, --config FILE, --pid-file FILE,
                          --console-socket PATH, --preserve-fds N)
          start ID        execute its program
          run ID          create, start, wait and delete (--detach, --keep)
          state ID        print its state
          kill ID [SIG]   send a signal (--all, --regex)
          delete ID       remove it (--force, --regex)
          exec ID ARG...  run a further process (--process FILE, --tty, --user, --cwd, --env, --cap, --additional-gids,
                          --no-new-privs, --cgroup PATH, --preserve-fds N, --detach, --pid-file, --console-socket)
          list            list containers (--quiet, --format json)
          ps ID [ARG...]  list its processes (--format json), or those that `ps ARG...` shows of them
          pause, resume   stop and continue its processes
          update ID       change limits (--resources FILE, --memory, --memory-reservation, --memory-swap, --cpu-quota,
                          --cpu-period, --cpu-burst, --cpu-share, --cpu-idle, --cpu-rt-runtime, --cpu-rt-period,
                          --cpuset-cpus, --cpuset-mems, --pids-limit, --blkio-weight)
          events ID       print its statistics and out-of-memory kills as they come (--stats, --interval SECONDS)
          spec            write an example config.json (--bundle DIR, --rootless)
          features        print what is supported

        --cgroup-manager: cgroupfs, systemd (systemd's names, without asking it) or disabled.

        """

    let global: RuntimeArguments
    let root: String

    /// Runs the command; returns the exit code.
    public static func run(_ arguments: [String]) -> Int32 {
        signal(SIGPIPE, SIG_IGN)
        var log: (path: String?, json: Bool) = (nil, false)
        do {
            try openStandardStreams()
            let global = try RuntimeArguments(arguments.dropFirst(), mixed: false)
            log = (global["log"], global["log-format"] == "json")
            if global.has("version") {
                // The last line names features as crun does: what asks for them reads it.
                print("skala-runtime version 1.0\nspec: \(specificationVersion)\n+SYSTEMD +SECCOMP +CAP +EBPF")
                return 0
            }
            guard let command = global.rest.first, !global.has("help") else {
                print(help, terminator: "")
                return global.has("help") ? 0 : 1
            }
            let runtime = RuntimeCommand(global: global, root: global["root"] ?? defaultRoot)
            let mixed = command != "exec" && command != "run" && command != "ps"
            let renamed =
                command == "run" || command == "create" ? ["f": "config"] : command == "list" ? ["f": "format"] : [:]
            let local = try RuntimeArguments(global.rest.dropFirst(), mixed: mixed, renamed: renamed)
            if local.has("help") {
                print(help, terminator: "")
                return 0
            }
            if ["create", "run", "exec"].contains(command) { try protect() }
            return try runtime.perform(command, local)
        } catch {
            report(error, log.path, json: log.json)
            return 1
        }
    }

    private static var defaultRoot: String {
        guard isRootless else { return "/run/skala-runtime" }
        return (getenv("XDG_RUNTIME_DIR").map { String(cString: $0) } ?? "/tmp/skala-runtime-\(getuid())")
            + "/skala-runtime"
    }

    /// Descriptors of ours must not become a container's standard streams because the caller closed his.
    private static func openStandardStreams() throws(KernelError) {
        for descriptor in Int32(0)...2 where fcntl(descriptor, F_GETFD) < 0 {
            _ = try OwnedDescriptor.open("/dev/null", O_RDWR).take()
        }
    }

    /// Before anything of a container is executed (CVE-2019-5736).
    private static func protect() throws(KernelError) {
        try check(cl_protect_executable(CommandLine.unsafeArgv, 0), "protect", "/proc/self/exe")
    }

    private static func report(_ error: any Error, _ path: String?, json: Bool) {
        let message = "\(error)"
        StandardStreams.error("skala-runtime: \(message)\n")
        // The error was printed already; a log that cannot be opened is no further one.
        guard let path, let file = try? OwnedDescriptor.open(path, O_WRONLY | O_CREAT | O_APPEND, mode: 0o644) else {
            return
        }
        let time = SystemClock.now().text
        let entry: JSON = ["level": "error", "msg": JSON(message), "time": JSON(time)]
        let text = json ? entry.text : "time=\"\(time)\" level=error msg=\(JSON(message).text)"
        StandardStreams.write(file.raw, Array((text + "\n").utf8))
    }

    private func perform(_ command: String, _ local: RuntimeArguments) throws -> Int32 {
        switch command {
        case "create": return try create(local, starts: false)
        case "run": return try create(local, starts: true)
        case "start": try start(try load(local))
        case "state": print(try load(local).description().pretty())
        case "kill": try kill(local)
        case "delete": try delete(local)
        case "exec": return try exec(local)
        case "list": try list(local)
        case "ps": try processes(local)
        case "pause": try freeze(local, true)
        case "resume": try freeze(local, false)
        case "update": try update(local)
        case "events": try events(local)
        case "spec": try RuntimeCommand.writeExample(local["bundle"] ?? ".", rootless: local.has("rootless"))
        case "features": print(RuntimeCommand.features.pretty())
        case "help": print(RuntimeCommand.help, terminator: "")
        default: throw SkalaError(.invalid, "unknown command '\(command)'")
        }
        return 0
    }

    func load(_ local: RuntimeArguments) throws -> RuntimeState {
        try RuntimeState.load(root: root, id: try local.first("the container id"))
    }

    /// All containers; those that vanish meanwhile are left out.
    func loadAll() -> [RuntimeState] {
        // No such root: nothing was ever created.
        ((try? FileContents.names(in: root)) ?? []).compactMap { try? RuntimeState.load(root: root, id: $0) }
    }

    private func start(_ state: RuntimeState) throws {
        guard try state.status() == "created" else {
            throw SkalaError(.conflict, "container \(state.id) is \(try state.status())")
        }
        let spec = try RuntimeSpec(state.spec)
        let notify = NotifySocket(folder: state.folder)
        try notify?.listen()
        let process = OwnedDescriptor(try check(cl_pidfd_open(state.pid, 0), "pidfd_open", "container \(state.id)"))
        // The waiting process holds the other end; without one this fails at once.
        let gate = try OwnedDescriptor.open(state.gatePath, O_WRONLY | O_NONBLOCK)
        var byte: UInt8 = 0x67
        try checkErrno(write(gate.raw, &byte, 1), "write", state.gatePath)
        unlink(state.gatePath)
        do {
            try state.runPoststart(spec)
        } catch {
            _ = cl_pidfd_send_signal(process.raw, SIGKILL)
            throw error
        }
        try notify?.waitForReady(process)
    }

    private func freeze(_ local: RuntimeArguments, _ frozen: Bool) throws {
        let state = try load(local)
        let status = try state.status()
        guard status == (frozen ? "running" : "paused") else {
            throw SkalaError(.conflict, "container \(state.id) is \(status)")
        }
        let group = try state.cgroup()
        guard group.freeze(frozen) else { throw SkalaError(.unsupported, "this host cannot freeze groups") }
        for _ in 0..<1000 where group.isFrozen != frozen { usleep(1000) }
    }
}
