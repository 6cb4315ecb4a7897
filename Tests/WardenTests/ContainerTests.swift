import Base
import Glibc
import Kernel
import Testing
import WardenProtocol

@Suite(.serialized) struct ContainerTests {
    @Test func runsAndRemembersUntilDeleted() throws {
        guard let warden = try WardenFixture.make() else { return }
        defer { warden.stop() }
        let id = Identifier.make()
        let log = warden.folder + "/log"
        try warden.perform(
            "create",
            [
                "id": JSON(id), "spec": WardenFixture.spec(["sh", "-c", "hostname; echo bad >&2; printf end; exit 7"]),
                "rootfs": try warden.makeRoot(), "io": ["log": ["path": JSON(log)]],
            ])
        #expect(try warden.perform("state", ["id": JSON(id)])["status"].string == "created")
        try warden.perform("start", ["id": JSON(id)])
        #expect(try warden.waitForExit(id)["exitCode"].int == 7)
        let lines = try SmallFile.text(log).split(separator: "\n").map { try JSON(parsing: String($0)) }
        #expect(
            Set(lines.map { "\($0["stream"].string ?? "") \($0["log"].string ?? "")" }) == [
                "stdout box\n", "stderr bad\n", "stdout end",
            ])
        let state = try warden.perform("state", ["id": JSON(id)])
        #expect(state["status"].string == "stopped" && state["exitCode"].int == 7)
        try warden.perform("delete", ["id": JSON(id)])
        #expect(try warden.perform("list")["containers"].array?.isEmpty == true)
        #expect(throws: SkalaError.self) { try warden.perform("state", ["id": JSON(id)]) }
        let layout = try CgroupLayout.detect()
        for root in Set(layout.version1.values) { #expect(access("\(root)\(warden.cgroup)/\(id)", F_OK) != 0) }
    }

    @Test func tellsAMissingProgramFromOneThatCannotRun() throws {
        guard let warden = try WardenFixture.make() else { return }
        defer { warden.stop() }
        for (program, code) in [("nope", SkalaError.Code.notFound), ("/etc", .forbidden)] {
            let error = #expect(throws: SkalaError.self) {
                try warden.perform(
                    "create",
                    [
                        "id": JSON(Identifier.make()), "spec": WardenFixture.spec([JSON(program)]),
                        "rootfs": try warden.makeRoot(), "io": [:], "start": true,
                    ])
            }
            #expect(error?.code == code)
        }
        #expect(try warden.perform("list")["containers"].array?.isEmpty == true)
    }

    @Test func isolates() throws {
        guard let warden = try WardenFixture.make() else { return }
        defer { warden.stop() }
        let script = """
            echo pid $$; head -c 3 /proc/timer_list | tail -c 3; ls /proc/acpi; echo x > /proc/sys/kernel/hostname
            ls /proc/self/fd | tail -n 1; grep() { :; }; while read a b; do case $a in Seccomp:|CapEff:) echo $a $b;; esac; done < /proc/self/status
            readlink /proc/1/exe; busybox mount -t tmpfs x /tmp || echo refused
            """
        let result = try warden.run(script)
        #expect(result.text.contains("pid 1\n"))
        #expect(result.text.contains("Seccomp: 2"))
        #expect(result.text.contains("/bin/busybox") && result.text.contains("refused"))
        #expect(result.text.contains("Read-only file system") || result.text.contains("can't create"))
    }

    @Test func symbolicLinksInTheImageDoNotLeadOut() throws {
        guard let warden = try WardenFixture.make() else { return }
        defer { warden.stop() }
        let outside = warden.folder + "/outside"
        try FileContents.makeDirectories(outside)
        symlink("/../../.." + outside, warden.folder + "/base/trap")
        symlink("../../../../../../../.." + outside + "/new", warden.folder + "/base/dangling")
        let source = warden.folder + "/source"
        try FileContents.makeDirectories(source)
        for destination in ["/trap/made", "/dangling"] {
            let result = try warden.run("ls -d \(destination)") { request in
                var mounts = request["spec"]["mounts"].array ?? []
                mounts.append(
                    ["destination": JSON(destination), "type": "bind", "source": JSON(source), "options": ["rbind"]])
                request["spec"]["mounts"] = .array(mounts)
            }
            #expect(result.exit["exitCode"].int == 0)
        }
        #expect(try FileContents.names(in: outside).isEmpty)
        symlink("/tmp", warden.folder + "/base/proc2")
        let error = #expect(throws: SkalaError.self) {
            try warden.run("true") { request in
                request["spec"]["mounts"] = [
                    ["destination": "/proc2", "type": "proc", "source": "proc", "options": []]
                ]
            }
        }
        #expect(error?.message.contains("/proc2") == true)
    }

    /// The engine deletes a container when it has ended, however much of its output a client has still to take.
    @Test func aSlowClientGetsAllOutputOfADeletedContainer() throws {
        guard let warden = try WardenFixture.make() else { return }
        defer { warden.stop() }
        let id = Identifier.make()
        warden.isSlow = true
        try warden.perform(
            "create",
            [
                "id": JSON(id), "spec": WardenFixture.spec(["head", "-c", "900000", "/dev/zero"]),
                "rootfs": try warden.makeRoot(), "io": [:], "start": true,
                "attach": [["stream": 5, "stdout": true, "stderr": true]],
            ])
        _ = try warden.waitForExit(id)
        try warden.perform("delete", ["id": JSON(id)])
        #expect(warden.output["5.1"]?.count == 256 << 10, "the window, and no more")
        try warden.catchUp()
        try warden.waitForEnd(stream: 5, channel: 1)
        try warden.waitForEnd(stream: 5, channel: 2)
        #expect(warden.output["5.1"]?.count == 900_000)
        // The stream's number is free again.
        #expect(throws: SkalaError.self) { try warden.perform("detach", ["stream": 5]) }
    }

    @Test func executesAttachesAndResizes() throws {
        guard let warden = try WardenFixture.make() else { return }
        defer { warden.stop() }
        let id = Identifier.make()
        try warden.perform(
            "create",
            [
                "id": JSON(id), "spec": WardenFixture.spec(["cat"]), "rootfs": try warden.makeRoot(),
                "io": ["stdin": true, "stdinOnce": true],
            ])
        try warden.perform("attach", ["id": JSON(id), "stream": 1, "stdin": true, "stdout": true, "stderr": true])
        try warden.perform("start", ["id": JSON(id)])
        try warden.send(Frame(.data, number: 1, payload: Array("over and out\n".utf8)))
        var process = WardenFixture.process(["sh", "-c", "read x; echo got $x; stty size; exit 5"])
        process["terminal"] = true
        try warden.perform(
            "exec",
            [
                "id": JSON(id), "exec": "e", "process": process,
                "io": ["terminal": true, "stdin": true, "rows": 20, "columns": 60],
            ])
        try warden.perform("attach", ["id": JSON(id), "exec": "e", "stream": 2, "stdin": true, "stdout": true])
        try warden.perform("resize", ["id": JSON(id), "exec": "e", "rows": 33, "columns": 99])
        try warden.send(Frame(.data, number: 2, payload: Array("it\r".utf8)))
        #expect(try warden.waitForExit(id, exec: "e")["exitCode"].int == 5)
        try warden.waitForEnd(stream: 2, channel: 1)
        #expect(warden.text(stream: 2).contains("got it") && warden.text(stream: 2).contains("33 99"))
        try warden.send(Frame(.data, number: 1))
        #expect(try warden.waitForExit(id)["exitCode"].int == 0)
        try warden.waitForEnd(stream: 1, channel: 1)
        #expect(warden.text(stream: 1) == "over and out\n")
    }

    @Test func losesNoOutputWhenTheClientIsSlow() throws {
        guard let warden = try WardenFixture.make() else { return }
        defer { warden.stop() }
        let id = Identifier.make()
        try warden.perform(
            "create",
            [
                "id": JSON(id), "spec": WardenFixture.spec(["head", "-c", "8000000", "/dev/zero"]),
                "rootfs": try warden.makeRoot(), "io": [:],
            ])
        try warden.perform("attach", ["id": JSON(id), "stream": 4, "stdout": true])
        try warden.perform("start", ["id": JSON(id)])
        usleep(300_000)
        // Nothing has been taken yet, so the process is held back by its pipe.
        #expect(try warden.perform("state", ["id": JSON(id)])["status"].string == "running")
        try warden.waitForEnd(stream: 4, channel: 1)
        #expect(warden.output["4.1"]?.count == 8_000_000)
    }

    @Test func pausesLimitsAndReportsOutOfMemory() throws {
        guard let warden = try WardenFixture.make() else { return }
        defer { warden.stop() }
        let id = Identifier.make()
        let name: JSON = ["id": JSON(id)]
        try warden.perform(
            "create",
            [
                "id": JSON(id), "spec": WardenFixture.spec(["sleep", "60"]), "rootfs": try warden.makeRoot(), "io": [:],
                "start": true,
            ])
        try warden.perform("pause", name)
        #expect(try warden.perform("state", name)["status"].string == "paused")
        try warden.perform("resume", name)
        try warden.perform(
            "update", ["id": JSON(id), "resources": ["memory": ["limit": 33_554_432], "pids": ["limit": 9]]])
        let statistics = try warden.perform("stats", name)
        #expect(statistics["memory"]["limit"].int == 33_554_432 && statistics["pids"]["limit"].int == 9)
        #expect(statistics["pids"]["current"].int == 1)
        #expect(try warden.perform("processes", name)["pids"].array?.count == 1)
        try warden.perform("signal", ["id": JSON(id), "signal": 9])
        let exit = try warden.waitForExit(id)
        #expect(exit["exitCode"].int == 137 && exit["signal"].int == 9 && exit["oomKilled"].bool == false)
        #expect(try warden.run("tail /dev/zero").exit["oomKilled"].bool == true)
    }

    @Test func aKilledWardenTakesItsContainersAlong() throws {
        guard let warden = try WardenFixture.make() else { return }
        defer { warden.stop() }
        let id = Identifier.make()
        let answer = try warden.perform(
            "create",
            [
                "id": JSON(id), "spec": WardenFixture.spec(["sleep", "60"]), "rootfs": try warden.makeRoot(), "io": [:],
                "start": true,
            ])
        let pid = answer["pid"].int ?? 0
        warden.end(SIGKILL)
        var status = "?"
        for _ in 0..<100 where !status.isEmpty && !status.contains("Z (zombie)") {
            usleep(20_000)
            status = (try? SmallFile.text("/proc/\(pid)/status")) ?? ""
        }
        #expect(status.isEmpty || status.contains("Z (zombie)"))
        try warden.start()
        #expect(try warden.perform("hello")["lost"].strings == [id])
    }

    @Test func holdsTheFilesOfAStoppedContainer() throws {
        guard let warden = try WardenFixture.make() else { return }
        defer { warden.stop() }
        let pid = try warden.perform("hold", ["id": "a", "rootfs": try warden.makeRoot()])["pid"].int ?? 0
        #expect(access("/proc/\(pid)/root/bin/busybox", F_OK) == 0)
        try warden.perform("release", ["id": "a"])
        #expect(access("/proc/\(pid)/root/bin/busybox", F_OK) != 0)
    }

    @Test func refusesBadRequestsAndGoesOn() throws {
        guard let warden = try WardenFixture.make() else { return }
        defer { warden.stop() }
        for fields: JSON in [
            ["id": "x"], ["id": JSON(Identifier.make()), "spec": 3], ["id": JSON(Identifier.make()), "spec": [:]],
        ] { #expect(throws: SkalaError.self) { try warden.perform("create", fields) } }
        #expect(throws: SkalaError.self) { try warden.perform("nonsense") }
        #expect(throws: SkalaError.self) {
            try warden.run("true") { $0["spec"]["linux"]["sysctl"] = ["kernel.panic": "1"] }
        }
        #expect(throws: SkalaError.self) {
            try warden.run("true") {
                $0["spec"]["mounts"] = [["destination": "/proc/sys", "type": "tmpfs", "source": "tmpfs"]]
            }
        }
        #expect(try warden.run("exit 2").exit["exitCode"].int == 2)
    }
}
