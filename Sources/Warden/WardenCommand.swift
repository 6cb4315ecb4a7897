import Base
import CLinux
import Glibc
import Kernel

/// The command line of `skala-warden`.
public enum WardenCommand {
    static let help = """
        usage: skala-warden --socket PATH [--cgroup PATH]

        Runs containers for the engine that connects to the socket, until SIGTERM.

          --socket PATH   the unix socket to listen at (mode 0600)
          --cgroup PATH   the parent of the containers' control groups (default /skala); what is in it is removed

        """

    /// Runs the command; returns the exit code.
    public static func run(_ arguments: [String]) -> Int32 {
        var socket: String?
        var cgroup = "/skala"
        var rest = arguments.dropFirst()
        while let argument = rest.popFirst() {
            let parts = argument.split(separator: "=", maxSplits: 1).map(String.init)
            switch parts.first ?? "" {
            case "--help", "-h":
                print(help, terminator: "")
                return 0
            case "--socket": socket = parts.count > 1 ? parts[1] : rest.popFirst()
            case "--cgroup": cgroup = (parts.count > 1 ? parts[1] : rest.popFirst()) ?? cgroup
            default: return complain("unknown argument '\(argument)'", 2)
            }
        }
        guard let socket else { return complain("--socket is missing", 2) }
        // Containers must not get at the file of the program that starts them (CVE-2019-5736).
        let result = cl_protect_executable(CommandLine.unsafeArgv, 1)
        guard result == 0 else {
            return complain(KernelError("protect", "/proc/self/exe", errno: -result).description, 1)
        }
        do {
            try Warden(cgroupRoot: cgroup).serve(socket: socket)
            return 0
        } catch {
            return complain("\(error)", 1)
        }
    }

    private static func complain(_ message: String, _ code: Int32) -> Int32 {
        let text = "skala-warden: \(message)\n"
        _ = text.withCString { write(2, $0, strlen($0)) }
        return code
    }
}
