import Base
import CLinux
import Glibc
import Kernel
import OCI

/// `skala-runtime`: the OCI runtime command line over the warden's code, without a resident process.
public struct RuntimeCommand {
    static let help = """
        usage: skala-runtime [--root DIR] [--log FILE] [--log-format text|json] COMMAND ...

          create ID       make a container from a bundle (--bundle DIR, --pid-file FILE, --console-socket PATH,
                          --preserve-fds N)
          start ID        execute its program
          run ID          create, start, wait and delete (--detach)
          state ID        print its state
          kill ID [SIG]   send a signal (--all)
          delete ID       remove it (--force)
          exec ID ARG...  run a further process (--process FILE, --tty, --user, --cwd, --env, --detach, --pid-file)
          list            list containers (--quiet, --format json)
          ps ID           list its processes (--format json)
          pause, resume   stop and continue its processes
          update ID       change limits (--resources FILE, --memory, --cpu-quota, --cpu-period, --cpu-share, --pids-limit)
          events ID       print its statistics (--stats)
          spec            write an example config.json (--bundle DIR)
          features        print what is supported

        """

    let global: RuntimeArguments
    let root: String

    /// Runs the command; returns the exit code.
    public static func run(_ arguments: [String]) -> Int32 {
        signal(SIGPIPE, SIG_IGN)
        var log: (path: String?, json: Bool) = (nil, false)
        do {
            let global = try RuntimeArguments(arguments.dropFirst(), mixed: false)
            log = (global["log"], global["log-format"] == "json")
            if global.has("version") {
                print("skala-runtime version 1.0\nspec: 1.2.0")
                return 0
            }
            guard let command = global.rest.first, !global.has("help") else {
                print(help, terminator: "")
                return global.has("help") ? 0 : 1
            }
            let runtime = RuntimeCommand(global: global, root: global["root"] ?? "/run/skala-runtime")
            let mixed = command != "exec" && command != "run"
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

    /// Before anything of a container is executed (CVE-2019-5736).
    private static func protect() throws(KernelError) {
        try check(cl_protect_executable(CommandLine.unsafeArgv, 0), "protect", "/proc/self/exe")
    }

    private static func report(_ error: any Error, _ path: String?, json: Bool) {
        let message = "\(error)"
        let line = "skala-runtime: \(message)\n"
        _ = line.withCString { write(2, $0, strlen($0)) }
        guard let path, let file = try? OwnedDescriptor.open(path, O_WRONLY | O_CREAT | O_APPEND, mode: 0o644) else {
            return
        }
        let entry: JSON = [
            "level": "error", "msg": JSON(message), "time": JSON(SystemClock.now().text),
        ]
        let text =
            (json ? entry.text : "time=\"\(SystemClock.now().text)\" level=error msg=\(JSON(message).text)") + "\n"
        _ = text.withCString { write(file.raw, $0, strlen($0)) }
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
        case "events":
            let state = try load(local)
            let event: JSON = ["type": "stats", "id": JSON(state.id), "data": try state.cgroup().statistics()]
            print(event.text)
        case "spec": try RuntimeCommand.writeExample(local["bundle"] ?? ".")
        case "features": print(RuntimeCommand.features.pretty())
        case "help": print(RuntimeCommand.help, terminator: "")
        default: throw SkalaError(.invalid, "unknown command '\(command)'")
        }
        return 0
    }

    func load(_ local: RuntimeArguments) throws -> RuntimeState {
        try RuntimeState.load(root: root, id: try local.first("the container id"))
    }

    private func start(_ state: RuntimeState) throws {
        guard try state.status() == "created" else {
            throw SkalaError(.conflict, "container \(state.id) is \(try state.status())")
        }
        // The waiting process holds the other end; without one this fails at once.
        let gate = try OwnedDescriptor.open(state.gatePath, O_WRONLY | O_NONBLOCK)
        var byte: UInt8 = 0x67
        try checkErrno(write(gate.raw, &byte, 1), "write", state.gatePath)
        unlink(state.gatePath)
    }

    private func kill(_ local: RuntimeArguments) throws {
        let state = try load(local)
        let number = try RuntimeCommand.signalNumber(local.rest.count > 1 ? local.rest[1] : "TERM")
        if local.has("all") {
            for pid in try state.cgroup().processes() { Glibc.kill(pid, number) }
            return
        }
        let pidfd = OwnedDescriptor(
            try check(cl_pidfd_open(max(1, state.pid), 0), "pidfd_open", "container \(state.id)"))
        guard state.isAlive else { throw SkalaError(.conflict, "container \(state.id) is not running") }
        try check(cl_pidfd_send_signal(pidfd.raw, number), "signal \(number)", "container \(state.id)")
    }

    private func delete(_ local: RuntimeArguments) throws {
        let force = local.has("force")
        let folder = try RuntimeState.folder(root: root, id: try local.first("the container id"))
        if force, access(folder + "/state.json", F_OK) != 0 { return }
        let state = try load(local)
        if state.isAlive, !force {
            guard try state.status() == "created" else {
                throw SkalaError(.conflict, "container \(state.id) is not stopped")
            }
        }
        let group = try state.cgroup()
        if state.isAlive {
            group.freeze(false)
            group.kill()
            Glibc.kill(state.pid, SIGKILL)
        }
        guard group.remove() else { throw SkalaError(.timedOut, "the control group of \(state.id) is still in use") }
        state.remove()
    }

    private func list(_ local: RuntimeArguments) throws {
        // No such root: nothing was ever created.
        let states = ((try? SmallFile.names(in: root)) ?? []).compactMap { try? RuntimeState.load(root: root, id: $0) }
        if local.has("quiet") { return states.forEach { print($0.id) } }
        let descriptions = try states.map { try $0.description() }
        if local["format"] == "json" { return print(JSON(descriptions).text) }
        print("ID\tPID\tSTATUS\tBUNDLE\tCREATED")
        for entry in descriptions {
            let texts = [entry["id"], entry["pid"], entry["status"], entry["bundle"], entry["created"]]
            print(texts.map { $0.string ?? $0.text }.joined(separator: "\t"))
        }
    }

    private func processes(_ local: RuntimeArguments) throws {
        let pids = try load(local).cgroup().processes()
        if local["format"] == "json" { return print(JSON(pids.map { JSON($0) }).text) }
        print("PID\tCOMMAND")
        for pid in pids {
            // It may have ended since.
            let name = (try? SmallFile.text("/proc/\(pid)/comm"))?.filter { $0 != "\n" } ?? ""
            print("\(pid)\t\(name)")
        }
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

    private func update(_ local: RuntimeArguments) throws {
        let state = try load(local)
        var resources: JSON = .object(JSONObject())
        if let path = local["resources"] {
            resources = try JSON(parsing: try SmallFile.read(path == "-" ? "/dev/stdin" : path))
        }
        for (option, group, key) in [
            ("memory", "memory", "limit"), ("memory-reservation", "memory", "reservation"),
            ("memory-swap", "memory", "swap"), ("cpu-quota", "cpu", "quota"), ("cpu-period", "cpu", "period"),
            ("cpu-share", "cpu", "shares"), ("pids-limit", "pids", "limit"), ("blkio-weight", "blockIO", "weight"),
        ] {
            guard let text = local[option] else { continue }
            resources[group][key] = JSON(try Int64(text) ?? ByteSize.parse(text))
        }
        for (option, key) in [("cpuset-cpus", "cpus"), ("cpuset-mems", "mems")] {
            if let text = local[option] { resources["cpu"][key] = JSON(text) }
        }
        try state.cgroup().apply(try RuntimeResources(resources))
    }

    static func signalNumber(_ text: String) throws(SkalaError) -> Int32 {
        let names = [
            "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE", "ALRM",
            "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ", "VTALRM", "PROF",
            "WINCH", "IO", "PWR", "SYS",
        ]
        if let number = Int32(text), (1...64).contains(number) { return number }
        let name = text.uppercased()
        guard let index = names.firstIndex(of: name.hasPrefix("SIG") ? String(name.dropFirst(3)) : name) else {
            throw SkalaError(.invalid, "unknown signal '\(text)'")
        }
        return Int32(index + 1)
    }
}
