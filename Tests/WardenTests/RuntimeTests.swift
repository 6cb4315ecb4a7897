import Base
import CLinux
import Glibc
import Kernel
import Testing

/// What the runtime specification has beyond what every container uses, through `skala-runtime`.
@Suite(.serialized) struct RuntimeTests {
    @Test func hooksRunInTheirOrderAndPlaces() throws {
        guard let runtime = try RuntimeFixture.make() else { return }
        defer { runtime.stop() }
        let report = runtime.folder + "/report"
        func hook(_ name: String) -> JSON {
            let script = "echo \(name) $(readlink /proc/self/ns/mnt) $(grep -c '\"id\"' -) >> \(report)"
            return [["path": "/bin/bash", "args": ["bash", "-c", JSON(script)], "env": ["PATH=/usr/bin:/bin"]]]
        }
        let result = try runtime.run("echo program") { spec in
            for name in ["prestart", "createRuntime", "createContainer", "poststart", "poststop"] {
                spec["hooks"][name] = hook(name)
            }
            // In the container, with its files and the state on the standard input.
            spec["hooks"]["startContainer"] = [
                ["path": "/bin/busybox", "args": ["sh", "-c", "/bin/cat; echo; /bin/ls /bin/busybox"]]
            ]
        }
        #expect(result.code == 0)
        let lines = result.text.split(separator: "\n")
        #expect(lines.count == 3 && lines.first?.contains("\"status\":\"created\"") == true, "\(result.text)")
        #expect(lines.first?.contains("\"pid\":1") == true && lines[1...] == ["/bin/busybox", "program"])
        let order = try SmallFile.text(report).split(separator: "\n").map { $0.split(separator: " ") }
        #expect(order.map { $0[0] } == ["prestart", "createRuntime", "createContainer", "poststart", "poststop"])
        #expect(order.allSatisfy { $0.last == "1" }, "each got the state")
        let namespaces = order.map { $0[1] }
        #expect(namespaces[0] == namespaces[1] && namespaces[1] == namespaces[4] && namespaces[2] != namespaces[0])
    }

    @Test func aHookThatFailsOrHangsEndsTheContainer() throws {
        guard let runtime = try RuntimeFixture.make() else { return }
        defer { runtime.stop() }
        for name in ["prestart", "createRuntime", "createContainer", "startContainer"] {
            let path: JSON = name == "startContainer" ? "/bin/busybox" : "/bin/bash"
            for (script, text) in [("exit 3", "hook"), ("sleep 60", "hook")] {
                let result = try runtime.run("echo program") {
                    $0["hooks"][name] = [["path": path, "args": ["sh", "-c", JSON(script)], "timeout": 1]]
                }
                #expect(result.code != 0 && result.text.contains(text) && !result.text.contains("program"))
            }
        }
        #expect(runtime.call(["list", "--quiet"]).text.isEmpty)
    }

    @Test func theWardenRunsHooksToo() throws {
        guard let warden = try WardenFixture.make() else { return }
        defer { warden.stop() }
        let report = warden.folder + "/report"
        func hook(_ script: String) -> JSON {
            [["path": "/bin/bash", "args": ["bash", "-c", JSON(script)], "env": ["PATH=/usr/bin:/bin"], "timeout": 5]]
        }
        let result = try warden.run("echo program") { request in
            for name in ["createRuntime", "createContainer", "poststart", "poststop"] {
                request["spec"]["hooks"][name] = hook("cat > /dev/null; echo \(name) >> \(report)")
            }
        }
        #expect(result.text == "program\n")
        for _ in 0..<100 where try SmallFile.text(report).split(separator: "\n").count < 4 { usleep(50_000) }
        #expect(try SmallFile.text(report) == "createRuntime\ncreateContainer\npoststart\npoststop\n")
        #expect(throws: SkalaError.self) {
            try warden.run("echo program") { $0["spec"]["hooks"]["createRuntime"] = hook("exit 1") }
        }
        #expect(try warden.perform("list")["containers"].array?.isEmpty == true)
    }

    @Test func aTimeNamespaceHasItsOffsets() throws {
        guard let runtime = try RuntimeFixture.make() else { return }
        defer { runtime.stop() }
        for hasUsers in [false, true] {
            let result = try runtime.run("readlink /proc/self/ns/time; cat /proc/self/timens_offsets; cat /proc/uptime")
            {
                $0["linux"]["namespaces"].append(["type": "time"])
                $0["linux"]["timeOffsets"] = [
                    "boottime": ["secs": 1_000_000], "monotonic": ["secs": 500, "nanosecs": 7],
                ]
                if hasUsers { RuntimeTests.addUsers(&$0) }
            }
            let lines = result.text.split(separator: "\n")
            guard lines.count == 4 else {
                Issue.record("\(result.text)")
                continue
            }
            let own =
                runtime.call(["features"]).code == 0
                ? try Subprocess.output(["/bin/readlink", "/proc/self/ns/time"], limit: 100) : ""
            #expect(lines[0] + "\n" != own)
            #expect(lines[3].prefix { $0 != "." }.count >= 7, "\(lines[3])")
        }
    }

    private static func addUsers(_ spec: inout JSON) {
        spec["linux"]["namespaces"].append(["type": "user"])
        for kind in ["uidMappings", "gidMappings"] {
            spec["linux"][kind] = [["containerID": 0, "hostID": 100_000, "size": 65536]]
        }
    }

    @Test func mountsMapIDs() throws {
        guard let runtime = try RuntimeFixture.make() else { return }
        defer { runtime.stop() }
        let source = runtime.folder + "/source"
        try FileContents.makeDirectories(source)
        try runtime.write("x", to: source + "/file")
        chown(source + "/file", 5, 6)
        let mappings: JSON = [["containerID": 0, "hostID": 1000, "size": 100]]
        let plain = try runtime.run("stat -c %u:%g /var/file") {
            $0["mounts"].append(.mount("bind", source, "/var", ["bind"]))
        }
        #expect(plain.text == "5:6\n")
        let mapped = try runtime.run("stat -c %u:%g /var/file") {
            var mount = JSON.mount("bind", source, "/var", ["bind"])
            mount["uidMappings"] = mappings
            mount["gidMappings"] = mappings
            $0["mounts"].append(mount)
        }
        #expect(mapped.text == "1005:1006\n")
        // As the container's own user namespace has it.
        let users = try runtime.run("stat -c %u:%g /var/file; touch /var/made") {
            $0["mounts"].append(.mount("bind", source, "/var", ["bind", "idmap"]))
            RuntimeTests.addUsers(&$0)
            chown(runtime.root, 100_000, 100_000)
        }
        #expect(users.text == "5:6\n")
    }

    @Test func aTmpfsCopiesUp() throws {
        guard let runtime = try RuntimeFixture.make() else { return }
        defer { runtime.stop() }
        try FileContents.makeDirectories(runtime.root + "/var/deep/er")
        try runtime.write("kept", to: runtime.root + "/var/deep/er/file")
        chmod(runtime.root + "/var/deep", 0o711)
        chown(runtime.root + "/var/deep/er/file", 7, 8)
        symlink("deep/er/file", runtime.root + "/var/link")
        let result = try runtime.run(
            "cat /var/link; stat -c ' %a' /var/deep; stat -c %u:%g /var/deep/er/file; echo > /var/new"
        ) {
            $0["mounts"].append(.mount("tmpfs", "tmpfs", "/var", ["tmpcopyup"]))
        }
        #expect(result.text == "kept 711\n7:8\n", "\(result.text)")
        #expect(access(runtime.root + "/var/new", F_OK) != 0)
    }

    @Test func schedulingIsSet() throws {
        guard let runtime = try RuntimeFixture.make() else { return }
        defer { runtime.stop() }
        let result = try runtime.run("grep -E '^(policy|prio)' /proc/self/sched; uname -m") { spec in
            spec["process"]["scheduler"] = ["policy": "SCHED_BATCH", "nice": 5]
            spec["process"]["ioPriority"] = ["class": "IOPRIO_CLASS_IDLE"]
            spec["linux"]["personality"] = ["domain": "LINUX32"]
            spec["linux"]["seccomp"] = nil
        }
        #expect(result.code == 0 && result.text.contains("i686"), "\(result.text)")
        if result.text.contains("policy") { #expect(result.text.contains(" 3\n") && result.text.contains("125")) }
        let id = try runtime.start("sleep 60")
        let process: JSON = [
            "args": ["grep", "Cpus_allowed_list", "/proc/self/status"], "env": ["PATH=/bin"], "cwd": "/",
            "execCPUAffinity": ["initial": "0", "final": "0"],
        ]
        try runtime.write(process.text, to: runtime.folder + "/process.json")
        let executed = runtime.call(["exec", "--process", runtime.folder + "/process.json", id])
        #expect(executed.text == "Cpus_allowed_list:\t0\n", "\(executed.text)")
    }

    @Test func aMountNamespaceCanBeJoined() throws {
        guard let runtime = try RuntimeFixture.make() else { return }
        defer { runtime.stop() }
        let first = try runtime.start("sleep 60")
        let state = try JSON(parsing: runtime.call(["state", first]).text)
        let folder = "/proc/\(state["pid"].int ?? 0)/ns"
        let path = folder + "/mnt"
        let expected = try Subprocess.output(["/bin/readlink", path], limit: 100)
        let result = try runtime.run("readlink /proc/self/ns/mnt; ls /bin/busybox") { spec in
            spec["root"] = ["path": "/"]
            spec["mounts"] = []
            for key in ["maskedPaths", "readonlyPaths"] { spec["linux"][key] = nil }
            spec["linux"]["namespaces"] = [
                ["type": "mount", "path": JSON(path)], ["type": "pid", "path": JSON(folder + "/pid")],
            ]
            spec["hostname"] = nil
        }
        #expect(result.text == expected + "/bin/busybox\n", "\(result.text)")
    }

    /// A program outside answers the container's mkdir calls.
    @Test func aListenerAnswersSystemCalls() throws {
        guard let runtime = try RuntimeFixture.make() else { return }
        defer { runtime.stop() }
        let path = runtime.folder + "/listener"
        // struct seccomp_notif has 80 bytes, seccomp_notif_resp 24; the answer is -ENOTUNIQ.
        let agent = """
            import array, fcntl, json, socket, struct, sys
            server = socket.socket(socket.AF_UNIX); server.bind(sys.argv[1]); server.listen(1); server.settimeout(20)
            connection, _ = server.accept()
            message, control, _, _ = connection.recvmsg(65536, socket.CMSG_LEN(4))
            fds = array.array("i"); fds.frombytes(control[0][2][:4])
            state = json.loads(message)
            print(state["metadata"], state["fds"], state["state"]["status"], state["pid"] > 1, flush=True)
            request = bytearray(80); fcntl.ioctl(fds[0], 0xC0502100, request)
            fcntl.ioctl(fds[0], 0xC0182101, struct.pack("=QqiI", struct.unpack("=Q", request[:8])[0], 0, -76, 0))
            """
        for command in ["run", "create"] {
            unlink(path)
            let output = runtime.folder + "/agent-" + command
            let shell = "exec timeout -s KILL 30 python3 -c '\(agent)' \(path) > \(output) 2>&1"
            let pid = try Subprocess.spawn(["/bin/bash", "-c", shell])
            for _ in 0..<200 where access(path, F_OK) != 0 { usleep(20_000) }
            try runtime.configure("mkdir /tmp/x; echo $?") {
                $0["linux"]["seccomp"] = [
                    "defaultAction": "SCMP_ACT_ALLOW", "listenerPath": JSON(path), "listenerMetadata": "hello",
                    "syscalls": [["names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_NOTIFY"]],
                ]
            }
            let id = runtime.makeID()
            var result: RuntimeFixture.Result
            if command == "run" {
                result = runtime.call(["run", "--bundle", runtime.folder + "/bundle", id])
            } else {
                let log = runtime.folder + "/log"
                result = runtime.call(["create", "--bundle", runtime.folder + "/bundle", id], "exec > \(log) 2>&1;")
                #expect(runtime.call(["start", id]).code == 0)
                for _ in 0..<100 where try !SmallFile.text(log).contains("\n1") { usleep(50_000) }
                result.text = try SmallFile.text(log)
            }
            waitpid(pid, nil, 0)
            #expect(result.text.contains("Name not unique") && result.text.hasSuffix("1\n"), "\(result.text)")
            #expect(try SmallFile.text(output) == "hello ['seccompFd'] creating True\n")
            _ = runtime.call(["delete", "--force", id])
        }
    }

    @Test func updatesAndPauses() throws {
        guard let runtime = try RuntimeFixture.make() else { return }
        defer { runtime.stop() }
        let id = try runtime.start("while :; do :; done")
        #expect(
            runtime.call(["update", "--memory", "33554432", "--pids-limit", "9", "--cpu-share", "512", id]).code == 0)
        let stats = try JSON(parsing: runtime.call(["events", "--stats", id]).text)["data"]
        #expect(stats["memory"]["usage"]["limit"].int == 33_554_432 && stats["pids"]["limit"].int == 9)
        #expect(runtime.call(["pause", id]).code == 0)
        func status() throws -> String? { try JSON(parsing: runtime.call(["state", id]).text)["status"].string }
        #expect(try status() == "paused")
        let first = try JSON(parsing: runtime.call(["events", "--stats", id]).text)["data"]["cpu"]["usage"]["total"].int
        usleep(200_000)
        let second = try JSON(parsing: runtime.call(["events", "--stats", id]).text)["data"]["cpu"]["usage"]["total"]
            .int
        #expect(first == second)
        #expect(runtime.call(["exec", id, "true"]).code != 0)
        #expect(runtime.call(["resume", id]).code == 0)
        #expect(try status() == "running")
        let text = runtime.call(["ps", id]).text
        #expect(text.hasPrefix("UID") && text.split(separator: "\n").count == 2, "\(text)")
        // What is paused is killed all the same.
        #expect(runtime.call(["pause", id]).code == 0)
        #expect(runtime.call(["delete", "--force", id]).code == 0)
        #expect(runtime.call(["list", "--quiet"]).text.isEmpty)
    }
}
