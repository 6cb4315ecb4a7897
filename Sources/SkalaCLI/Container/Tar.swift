import Base
import Glibc
import Kernel

/// The system's tar program with a pipe to it or from it.
struct Tar {
    private let pid: pid_t
    let pipe: OwnedDescriptor

    /// tar reads its archive from `pipe`.
    static func extracting(_ arguments: [String]) throws -> Tar {
        let (read, write) = try Pipe.make()
        let pid = try Subprocess.spawn([try program()] + arguments, input: read.raw)
        read.close()
        return Tar(pid: pid, pipe: write)
    }

    /// tar writes its archive to `pipe`.
    static func packing(_ arguments: [String]) throws -> Tar {
        let (read, write) = try Pipe.make()
        let pid = try Subprocess.spawn([try program()] + arguments, output: write.raw)
        write.close()
        return Tar(pid: pid, pipe: read)
    }

    /// - Throws: `.system` when tar failed; it has said why on standard error.
    func finish() throws {
        pipe.close()
        let status = try Subprocess.wait(pid)
        guard status == 0 else { throw SkalaError(.system, "tar ended with status \(status)") }
    }

    private static func program() throws -> String {
        guard let path = Subprocess.find("tar", path: (Environment.value("PATH") ?? "") + ":/usr/bin:/bin") else {
            throw SkalaError(.notFound, "the program 'tar' is missing; install it")
        }
        return path
    }

    /// An argument that renames members called `old`, or below it, to `new` while packing.
    static func rename(_ old: String, to new: String) -> String {
        // A control character as the separator: names hold it almost never, and then it is escaped as the others are.
        func escape(_ text: String, _ special: String) -> String {
            text.map { special.contains($0) ? "\\\($0)" : "\($0)" }.joined()
        }
        let pattern = escape(old, "\\.[]*^$\u{1}")
        return "--transform=flags=rSh;s\u{1}^\(pattern)\\(/\\|$\\)\u{1}\(escape(new, "\\&\u{1}"))\\1\u{1}"
    }
}
