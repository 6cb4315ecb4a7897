import Base
import CLinux
import Glibc
import Kernel

/// A bundle for `skala-runtime`, with busybox as its root file system, and the runtime run on it. Everything goes with
/// `stop`; each run has a deadline.
final class RuntimeFixture {
    struct Result {
        /// Standard output and error together.
        var text: String
        var code: Int32
    }

    static let deadlineSeconds = 30

    let folder: String
    let runtime: String
    private(set) var spec: JSON
    private var created: [String] = []

    var root: String { folder + "/bundle/rootfs" }

    /// Nil, with the reason printed, where containers cannot run.
    static func make() throws -> RuntimeFixture? {
        guard getuid() == 0 else { return skip("needs root") }
        guard access("/usr/bin/busybox", X_OK) == 0 else { return skip("needs busybox-static") }
        guard let executable = WardenFixture.findExecutable() else { return skip("skala-warden is not built") }
        return try RuntimeFixture(executable)
    }

    private static func skip(_ reason: String) -> RuntimeFixture? {
        print("SKIP: \(reason)")
        return nil
    }

    private init(_ executable: String) throws {
        folder = "/tmp/skala-runtime-test-" + Identifier.make().prefix(12)
        runtime = folder + "/skala-runtime"
        spec = WardenFixture.spec(["sh"])
        spec["root"] = ["path": "rootfs"]
        for name in ["bin", "etc", "proc", "sys", "dev", "tmp", "var"] {
            try FileContents.makeDirectories(root + "/" + name)
        }
        symlink(executable, runtime)
        _ = try Subprocess.run(["/bin/cp", "/usr/bin/busybox", root + "/bin/busybox"])
        for name in [
            "sh", "cat", "true", "id", "sleep", "ls", "head", "readlink", "mkdir", "uname", "grep", "stat", "pwd",
            "touch",
            "tail", "ps", "wc", "mount",
        ] { symlink("busybox", root + "/bin/" + name) }
    }

    func stop() {
        for id in created { _ = call(["delete", "--force", id]) }
        if let layout = try? CgroupLayout.detect() {
            for path in Set(layout.version1.values).union([layout.version2].compactMap { $0 }) {
                rmdir(path + "/skala-runtime")
            }
        }
        _ = try? Subprocess.run(["/bin/rm", "-rf", folder])
    }

    func write(_ text: String, to path: String) throws {
        let file = try OwnedDescriptor.open(path, O_WRONLY | O_CREAT | O_TRUNC, mode: 0o644)
        StandardStreams.write(file.raw, Array(text.utf8))
    }

    /// Calls the runtime, killing it after the deadline (code 137).
    func call(_ arguments: [String], _ prefix: String = "") -> Result {
        let output = folder + "/output-" + Identifier.make().prefix(8)
        let words = ([runtime, "--root", folder + "/state"] + arguments).map {
            "'" + $0.split(separator: "'", omittingEmptySubsequences: false).joined(separator: "'\\''") + "'"
        }
        let script = "\(prefix) exec timeout -s KILL \(RuntimeFixture.deadlineSeconds) \(words.joined(separator: " "))"
        let code = (try? Subprocess.run(["/bin/bash", "-c", "exec > \(output) 2>&1; " + script])) ?? -1
        return Result(text: (try? SmallFile.text(output)) ?? "", code: code)
    }

    /// Writes the bundle's config.json, changed by `change`.
    func configure(_ script: String, _ change: (inout JSON) -> Void = { _ in }) throws {
        var spec = spec
        spec["process"]["args"] = ["sh", "-c", JSON(script)]
        change(&spec)
        try write(spec.text, to: folder + "/bundle/config.json")
    }

    /// Runs a script in a new container to its end.
    func run(_ script: String, prefix: String = "", _ change: (inout JSON) -> Void = { _ in }) throws -> Result {
        try configure(script, change)
        return call(["run", "--bundle", folder + "/bundle", makeID()], prefix)
    }

    /// Starts a container that goes on; its id.
    func start(_ script: String, _ change: (inout JSON) -> Void = { _ in }) throws -> String {
        try configure(script, change)
        let id = makeID()
        let result = call(["run", "--detach", "--bundle", folder + "/bundle", id], "exec < /dev/null;")
        guard result.code == 0 else { throw SkalaError(.system, result.text) }
        return id
    }

    func makeID() -> String {
        let id = "t" + Identifier.make().prefix(12)
        created.append(id)
        return id
    }
}

extension JSON {
    mutating func append(_ element: JSON) { self = .array((array ?? []) + [element]) }

    static func mount(_ type: String, _ source: String, _ path: String, _ options: [String]) -> JSON {
        ["destination": JSON(path), "type": JSON(type), "source": JSON(source), "options": JSON(options)]
    }
}
