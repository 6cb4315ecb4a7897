import Base
import CLinux
import Glibc
import Kernel
import OCI

extension RuntimeCommand {
    func kill(_ local: RuntimeArguments) throws {
        let number = try RuntimeCommand.signalNumber(local.rest.count > 1 ? local.rest[1] : "TERM")
        for state in try selected(local) {
            if local.has("all") {
                let group = try state.cgroup()
                if number == SIGKILL { group.kill() } else { for pid in group.processes() { Glibc.kill(pid, number) } }
                continue
            }
            let pidfd = OwnedDescriptor(
                try check(cl_pidfd_open(max(1, state.pid), 0), "pidfd_open", "container \(state.id)"))
            guard state.isAlive else { throw SkalaError(.conflict, "container \(state.id) is not running") }
            try check(cl_pidfd_send_signal(pidfd.raw, number), "signal \(number)", "container \(state.id)")
            // The version 1 freezer holds even what is killed.
            if number == SIGKILL { try state.cgroup().thawVersion1() }
        }
    }

    func delete(_ local: RuntimeArguments) throws {
        let force = local.has("force")
        if force, !local.has("regex") {
            let folder = try RuntimeState.folder(root: root, id: try local.first("the container id"))
            if access(folder + "/status", F_OK) != 0 { return }
        }
        for state in try selected(local) { try delete(state, force: force) }
    }

    private func delete(_ state: RuntimeState, force: Bool) throws {
        let isAlive = state.isAlive
        if isAlive, !force {
            guard try state.status() == "created" else {
                throw SkalaError(.conflict, "container \(state.id) is not stopped")
            }
        }
        let group = try state.cgroup()
        if isAlive { try end(state, group) }
        guard group.remove() else { throw SkalaError(.timedOut, "the control group of \(state.id) is still in use") }
        state.remove()
        state.runPoststop(try RuntimeSpec(state.spec))
    }

    /// Kills everything of a container, and waits for its first process, at most five seconds.
    private func end(_ state: RuntimeState, _ group: ControlGroup) throws {
        // It may have ended since; then there is nothing to wait for.
        guard let pidfd = try? OwnedDescriptor(check(cl_pidfd_open(state.pid, 0), "pidfd_open")), state.isAlive else {
            return
        }
        _ = cl_pidfd_send_signal(pidfd.raw, SIGKILL)
        group.freeze(false)
        group.kill()
        var poller = pollfd(fd: pidfd.raw, events: Int16(POLLIN), revents: 0)
        for _ in 0..<50 where poll(&poller, 1, 100) == 0 { try group.thawVersion1() }
    }

    /// The container that is named, or with `--regex` all whose names match.
    private func selected(_ local: RuntimeArguments) throws -> [RuntimeState] {
        guard local.has("regex") else { return [try load(local)] }
        let text = try local.first("the regular expression")
        var pattern = regex_t()
        guard regcomp(&pattern, text, REG_EXTENDED | REG_NOSUB) == 0 else {
            throw SkalaError(.invalid, "not a regular expression: '\(text)'")
        }
        defer { regfree(&pattern) }
        return loadAll().filter { regexec(&pattern, $0.id, 0, nil, 0) == 0 }
    }

    static func signalNumber(_ text: String) throws(SkalaError) -> Int32 {
        let names = [
            "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE", "ALRM",
            "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ", "VTALRM", "PROF",
            "WINCH", "IO", "PWR", "SYS",
        ]
        if let number = Int32(text), (1...64).contains(number) { return number }
        let upper = text.uppercased()
        let name = upper.hasPrefix("SIG") ? String(upper.dropFirst(3)) : upper
        if let index = names.firstIndex(of: name) { return Int32(index + 1) }
        // SIGRTMIN is 34 in the C library, which keeps two for itself.
        if name.hasPrefix("RTMIN"), let offset = Int32(name == "RTMIN" ? "0" : name.dropFirst(6)),
            (0...30).contains(offset)
        {
            return 34 + offset
        }
        throw SkalaError(.invalid, "unknown signal '\(text)'")
    }
}
