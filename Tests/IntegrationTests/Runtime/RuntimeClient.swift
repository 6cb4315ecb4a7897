import Base
import Glibc
import Kernel

/// Calls other people's tools with `skala-runtime` as their OCI runtime. Everything has a deadline.
final class RuntimeClient {
    static let deadlineSeconds = 90

    let folder: String
    let runtime: String

    /// Nil, with the reason printed, where the tools are missing.
    static func make(needing programs: [String]) throws -> RuntimeClient? {
        guard getuid() == 0 else { return skip("needs root") }
        for program in programs + ["/usr/bin/busybox"] where access(program, X_OK) != 0 {
            return skip("needs \(program)")
        }
        guard let warden = findWarden() else { return skip("skala-warden is not built") }
        return try RuntimeClient(warden)
    }

    private static func skip(_ reason: String) -> RuntimeClient? {
        print("SKIP: \(reason)")
        return nil
    }

    /// Beside the test bundle.
    private static func findWarden() -> String? {
        for argument in CommandLine.arguments {
            let parts = argument.split(separator: "/")
            guard let index = parts.firstIndex(where: { $0.hasSuffix(".xctest") }) else { continue }
            let path = "/" + parts[..<index].joined(separator: "/") + "/skala-warden"
            if access(path, X_OK) == 0 { return path }
        }
        return nil
    }

    private init(_ warden: String) throws {
        folder = "/tmp/skala-client-" + Identifier.make().prefix(12)
        runtime = folder + "/skala-runtime"
        try FileContents.makeDirectories(folder + "/image/bin")
        symlink(warden, runtime)
        _ = try Subprocess.run(["/bin/cp", "/usr/bin/busybox", folder + "/image/bin/busybox"])
        for name in ["sh", "echo", "sleep", "true", "tty", "cat", "hostname"] {
            symlink("busybox", folder + "/image/bin/" + name)
        }
        _ = try Subprocess.run(["/bin/tar", "-C", folder + "/image", "-cf", folder + "/image.tar", "."])
    }

    func remove() { _ = try? Subprocess.run(["/bin/rm", "-rf", folder]) }

    func write(_ text: String, to name: String) throws {
        let file = try OwnedDescriptor.open(folder + "/" + name, O_WRONLY | O_CREAT | O_TRUNC, mode: 0o644)
        StandardStreams.write(file.raw, Array(text.utf8))
    }

    /// Runs a shell command line; its output and errors, and its exit code.
    func call(_ line: String) -> (text: String, code: Int32) {
        let output = folder + "/output"
        let script = "exec > \(output) 2>&1 < /dev/null; exec timeout -s KILL \(RuntimeClient.deadlineSeconds) \(line)"
        let code = (try? Subprocess.run(["/bin/bash", "-c", script])) ?? -1
        return ((try? SmallFile.text(output)) ?? "", code)
    }
}
