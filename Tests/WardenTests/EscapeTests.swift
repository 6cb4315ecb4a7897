import Base
import Glibc
import Kernel
import Testing

/// The known ways out of containers of other runtimes. Each test looks at what an escape would change or show.
@Suite(.serialized) struct EscapeTests {
    /// CVE-2019-5736: a container overwrites the runtime through /proc/PID/exe. A hook of the host takes hold of the program
    /// of the process that is about to become the container's, and writes to it when it does not run any more: not even
    /// root may.
    @Test func theRuntimesFileCannotBeWritten() throws {
        guard let runtime = try RuntimeFixture.make() else { return }
        defer { runtime.stop() }
        // A file of its own, which nobody else executes: what is executed cannot be written to anyway.
        let program = runtime.folder + "/copy"
        _ = try Subprocess.run(["/bin/cp", "--dereference", runtime.runtime, program])
        unlink(runtime.runtime)
        rename(program, runtime.runtime)
        let before = try digest(runtime.runtime)
        let report = runtime.folder + "/report"
        let script = """
            pid=$(sed 's/.*"pid":\\([0-9]*\\).*/\\1/'); exec 9< /proc/$pid/exe && echo held
            (sleep 2; : >> /proc/self/fd/9 && echo broken >> /proc/self/fd/9; echo done) < /dev/null &
            """
        let result = try runtime.run("echo ran") { spec in
            spec["hooks"]["createRuntime"] = [
                [
                    "path": "/bin/bash", "args": ["bash", "-c", JSON("(\(script)) > \(report) 2>&1; true")],
                    "env": ["PATH=/usr/bin:/bin"],
                ]
            ]
        }
        #expect(result.code == 0 && result.text.contains("ran"))
        for _ in 0..<100 where try !SmallFile.text(report).contains("done") { usleep(50_000) }
        let text = try SmallFile.text(report)
        #expect(text.hasPrefix("held\n") && text.hasSuffix("done\n"), "\(text)")
        #expect(text.contains("Read-only file system") || text.contains("not permitted"), "\(text)")
        #expect(try digest(runtime.runtime) == before)
    }

    private func digest(_ path: String) throws -> String {
        try Subprocess.output(["/usr/bin/sha256sum", "-b", path], limit: 1000).prefix(64).description
    }

    /// CVE-2024-21626: a working directory that is a leaked descriptor of the host's root.
    @Test func theWorkingDirectoryCannotBeALeakedDescriptor() throws {
        guard let runtime = try RuntimeFixture.make() else { return }
        defer { runtime.stop() }
        try runtime.write("secret", to: runtime.folder + "/marker")
        let up = String(repeating: "../", count: 12)
        let show = "pwd; cat \(up)\(runtime.folder.dropFirst())/marker"
        let id = try runtime.start("sleep 60")
        for descriptor in 3..<16 {
            let directory = "/proc/self/fd/\(descriptor)"
            // The caller of the runtime leaks the host's root as well.
            let result = try runtime.run(show, prefix: "exec \(descriptor)< /;") {
                $0["process"]["cwd"] = JSON(directory)
            }
            #expect(!result.text.contains("secret") && result.code != 0, "\(directory): \(result.text)")
            let executed = runtime.call(["exec", "--cwd", directory, id, "sh", "-c", show], "exec \(descriptor)< /;")
            #expect(!executed.text.contains("secret") && executed.code != 0, "\(directory): \(executed.text)")
        }
    }

    /// Only the standard streams reach a program, whatever the runtime's caller left open.
    @Test func noDescriptorLeaks() throws {
        guard let runtime = try RuntimeFixture.make() else { return }
        defer { runtime.stop() }
        let leak = "exec 7< / 8< /etc/passwd 11> /dev/null;"
        // The shell that expands the pattern has the directory itself open.
        let list = "cd /proc/self/fd && for i in *; do [ $i -le 2 ] || readlink $i; done; echo done"
        let first = try runtime.run(list, prefix: leak)
        let id = try runtime.start("sleep 60")
        let second = runtime.call(["exec", id, "sh", "-c", list], leak)
        for result in [first, second] {
            #expect(result.text.hasSuffix("done\n"))
            let left = result.text.split(separator: "\n").dropLast().filter { !$0.hasPrefix("/proc/") }
            #expect(left.isEmpty, "\(left)")
        }
    }

    /// CVE-2025-31133: the image's /dev/null is a link, so that a mask made of it shows or binds something else.
    @Test func aMaskIsTheHostsNullDevice() throws {
        guard let runtime = try RuntimeFixture.make() else { return }
        defer { runtime.stop() }
        try runtime.write("hidden", to: runtime.root + "/var/secret")
        try runtime.write("bait", to: runtime.root + "/var/bait")
        for target in ["/var/bait", "/proc/sysrq-trigger", "/proc/sys/kernel/core_pattern"] {
            unlink(runtime.root + "/dev/null")
            symlink(target, runtime.root + "/dev/null")
            let result = try runtime.run("cat /var/secret; echo end; stat -c '%F %t %T' /var/secret") { spec in
                spec["mounts"] = .array((spec["mounts"].array ?? []).filter { $0["destination"] == "/proc" })
                spec["linux"]["maskedPaths"] = ["/var/secret"]
            }
            #expect(result.text == "end\ncharacter special file 1 3\n", "\(target): \(result.text)")
        }
    }

    /// CVE-2025-52565: the image's /dev/console is a link that leads the terminal over a file of /proc.
    @Test func theConsoleIsNotBoundThroughALink() throws {
        guard let runtime = try RuntimeFixture.make() else { return }
        defer { runtime.stop() }
        symlink("/proc/sys/kernel/core_pattern", runtime.root + "/dev/console")
        let result = try runtime.run("cat /proc/self/mountinfo") { spec in
            spec["process"]["terminal"] = true
            spec["mounts"] = .array((spec["mounts"].array ?? []).filter { $0["destination"] != "/dev" })
        }
        #expect(result.code != 0 && !result.text.contains("core_pattern"), "\(result.text)")
        // The same bundle without the link has its console.
        unlink(runtime.root + "/dev/console")
        let honest = try runtime.run("cat /proc/self/mountinfo") { spec in
            spec["process"]["terminal"] = true
            spec["mounts"] = .array((spec["mounts"].array ?? []).filter { $0["destination"] != "/dev" })
        }
        #expect(honest.code == 0 && honest.text.contains(" /dev/console "), "\(honest.text)")
    }

    /// CVE-2019-16884, CVE-2025-52881: a mount over /proc, or over a file in it by way of a link, lies to whoever writes
    /// labels or settings there.
    @Test func nothingCoversProc() throws {
        guard let runtime = try RuntimeFixture.make() else { return }
        defer { runtime.stop() }
        symlink("/proc", runtime.root + "/link")
        symlink("/proc/self/attr", runtime.root + "/attributes")
        let source = runtime.root + "/var"
        for path in ["/proc", "/proc/self/attr", "//proc/./sys", "/proc/sys/kernel", "/link/sys/kernel", "/attributes"]
        {
            for (type, options) in [("bind", ["bind"]), ("tmpfs", [])] {
                let result = try runtime.run("echo started") {
                    $0["mounts"].append(.mount(type, type == "bind" ? source : type, path, options))
                }
                #expect(result.code != 0 && !result.text.contains("started"), "\(type) \(path): \(result.text)")
            }
        }
        // What LXCFS replaces may be covered.
        try runtime.write("replaced", to: runtime.folder + "/cpuinfo")
        let allowed = try runtime.run("cat /proc/cpuinfo") {
            $0["mounts"].append(.mount("bind", runtime.folder + "/cpuinfo", "/proc/cpuinfo", ["bind"]))
        }
        #expect(allowed.text == "replaced", "\(allowed.text)")
    }

    /// A setting of the host is not changed by a sysctl that is none of the container's.
    @Test func sysctlsOfTheHostAreRefused() throws {
        guard let runtime = try RuntimeFixture.make() else { return }
        defer { runtime.stop() }
        let before = try SmallFile.text("/proc/sys/kernel/core_pattern")
        for key in ["kernel.core_pattern", "kernel/core_pattern", "net.../../kernel.core_pattern", "fs.mqueue./../x"] {
            let result = try runtime.run("true") { $0["linux"]["sysctl"] = .object(JSONObject([(key, "|/evil")])) }
            #expect(result.code != 0, "\(key)")
        }
        #expect(try SmallFile.text("/proc/sys/kernel/core_pattern") == before)
    }

    /// CVE-2021-30465: while containers start, a directory on the way to a mount's destination becomes a link to a directory
    /// of the host, and back. A runtime that follows it makes the mount point there.
    @Test func aLinkThatAppearsDoesNotLeadOut() throws {
        guard let runtime = try RuntimeFixture.make() else { return }
        defer { runtime.stop() }
        let outside = runtime.folder + "/outside"
        try FileContents.makeDirectories(outside)
        try FileContents.makeDirectories(runtime.root + "/swap")
        symlink(outside, runtime.root + "/other")
        try runtime.write("bound", to: runtime.folder + "/source")
        // RENAME_EXCHANGE, as fast as it goes.
        let swapper = """
            import ctypes, os, sys, time
            libc = ctypes.CDLL(None); a, b = (sys.argv[1] + n for n in ("/swap", "/other"))
            end = time.time() + 20
            while time.time() < end and os.path.exists(sys.argv[2]): libc.renameat2(-100, a.encode(), -100, b.encode(), 2)
            """
        let running = runtime.folder + "/running"
        try runtime.write("", to: running)
        let pid = try Subprocess.spawn(["/usr/bin/python3", "-c", swapper, runtime.root, running])
        defer { waitpid(pid, nil, 0) }
        defer { unlink(running) }
        var started = 0
        for _ in 0..<30 {
            let result = try runtime.run("cat /swap/file /other/file 2> /dev/null; true") {
                $0["mounts"].append(.mount("bind", runtime.folder + "/source", "/swap/file", ["bind"]))
            }
            started += result.code == 0 ? 1 : 0
            #expect(try FileContents.names(in: outside).isEmpty)
        }
        #expect(started > 0)
    }
}
