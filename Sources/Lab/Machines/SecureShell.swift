import Base
import Glibc
import Kernel

/// A login in a machine, by the host's ssh: one connection, over which all scripts go, so that none waits for keys to be compared.
final class SecureShell {
    private let keys: MachineKeys
    private let address: String
    /// Of ssh's own socket, in the keys' folder.
    private let socket: String
    private var master: pid_t = 0
    private static let port = 22

    /// - Parameter name: of nothing else in the keys' folder. Short: with a suffix of ssh's own it becomes a socket's name.
    init(to address: String, name: String, keys: MachineKeys) {
        self.address = address
        self.keys = keys
        socket = name
    }

    /// Relative names, since a socket's path is 107 bytes long at most.
    private var command: [String] {
        let options = [
            "IdentityFile=\(MachineKeys.identity)", "IdentitiesOnly=yes", "IdentityAgent=none",
            "UserKnownHostsFile=\(MachineKeys.knownHosts)", "GlobalKnownHostsFile=/dev/null",
            "HostKeyAlias=\(MachineKeys.hostAlias)", "StrictHostKeyChecking=yes", "BatchMode=yes", "LogLevel=ERROR",
            // A machine that is starved by its neighbour answers late.
            "ConnectTimeout=30", "ServerAliveInterval=30", "ServerAliveCountMax=20",
        ]
        return ["/usr/bin/env", "--chdir=\(keys.folder)", HostProgram.find("ssh") ?? "ssh", "-F", "none", "-T"]
            + options.flatMap { ["-o", $0] } + ["-S", socket]
    }

    /// Takes the next step towards a connection, of half a second at most.
    ///
    /// - Returns: whether there is one.
    func connect() throws -> Bool {
        if master != 0 {
            var status: Int32 = 0
            guard waitpid(master, &status, WNOHANG) != 0 else { return access("\(keys.folder)/\(socket)", F_OK) == 0 }
            // It gave up, or what was connected has gone.
            master = 0
            unlink("\(keys.folder)/\(socket)")
        }
        // Before the machine's server listens, ssh would wait for seconds, or give up.
        guard let probe = FirstAnswer.connection(to: address, port: SecureShell.port) else { return false }
        probe.close()
        master = try Subprocess.spawn(command + ["-M", "-N", "root@\(address)"], newSession: true)
        return false
    }

    /// Runs what is given, in the words of the machine's own shell.
    func run(_ text: String, until deadline: Deadline) throws -> Execution {
        // As its input: what ssh is given as a command passes another shell, and is cut.
        let file = "\(keys.folder)/\(socket).script"
        try FileContents.replace(file, with: Array(text.utf8), mode: 0o600)
        defer { unlink(file) }
        let input = try OwnedDescriptor.open(file, O_RDONLY)
        defer { input.close() }
        return try HostCommand.run(
            command + ["root@\(address)", "run-script"], input: input.raw, until: deadline)
    }

    /// Ends the connection. Safe to call again.
    func close() {
        guard master != 0 else { return }
        // It can only fail when it has been waited for.
        _ = try? HostCommand.end(master)
        master = 0
        unlink("\(keys.folder)/\(socket)")
    }
}
