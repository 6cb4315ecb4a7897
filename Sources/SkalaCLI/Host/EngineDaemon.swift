import Base
import Glibc
import Kernel

/// `skala daemon`: becomes the program skala-daemon.
enum EngineDaemon {
    static let command = Command(
        "daemon", "Run the engine", "[OPTIONS]", examples: ["skala daemon", "skala daemon --help"],
        work: .passThrough { words in
            let folder = try programFolder()
            let places = [folder, folder + "/../libexec/skala", folder + "/../lib/skala", "/usr/libexec/skala"]
            guard let program = places.map({ $0 + "/skala-daemon" }).first(where: { access($0, X_OK) == 0 }) else {
                throw SkalaError(
                    .notFound, "skala-daemon is not beside this program nor in /usr/libexec/skala: install it")
            }
            var vector = ([program] + words).map { strdup($0) }
            vector.append(nil)
            defer { for pointer in vector { free(pointer) } }
            // What is ignored stays ignored over an exec.
            signal(SIGPIPE, SIG_DFL)
            execv(program, vector)
            throw KernelError("exec", program, errno: errno)
        })

    /// The folder of this program's file.
    private static func programFolder() throws -> String {
        guard let path = realpath("/proc/self/exe", nil) else {
            throw KernelError("readlink", "/proc/self/exe", errno: errno)
        }
        defer { free(path) }
        return CopyPath.folder(String(cString: path))
    }
}
