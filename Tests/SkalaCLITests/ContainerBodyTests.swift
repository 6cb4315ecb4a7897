import Base
import Testing

@testable import SkalaCLI

struct ContainerBodyTests {
    private func body(_ words: [String], files: [String: String] = [:], attached: Bool = true) throws -> JSON {
        let arguments = try Arguments(words, for: ContainerRun.command)
        let body = ContainerBody(
            arguments: arguments, directory: "/here", environment: { $0 == "SET" ? "value" : nil },
            readFile: { path in
                guard let text = files[path] else { throw SkalaError(.notFound, path) }
                return text
            })
        return try body.make(
            image: arguments.positional[0], command: Array(arguments.positional.dropFirst()), attached: attached)
    }

    @Test func onlyWhatIsGivenIsSent() throws {
        let body = try body(["busybox"], attached: false)
        #expect(body["HostConfig"] == ["NetworkMode": "default"])
        #expect(body["Cmd"] == .null && body["Env"] == .null && body["Healthcheck"] == .null)
        #expect(body["AttachStdout"] == false && body["StdinOnce"] == false)
    }

    @Test func theProcess() throws {
        let words = [
            "-it", "-e", "A=1", "-e", "SET", "-e", "UNSET", "--env-file", "f", "-l", "x=y", "-w", "/w", "-u", "1:2",
            "--entrypoint", "/bin/e", "--stop-timeout", "3", "--health-cmd", "true", "--health-interval", "1m30s",
            "image", "a", "-b",
        ]
        let body = try body(words, files: ["f": "# no\n\nF=from file\nSET\n"])
        #expect(body["Cmd"] == ["a", "-b"])
        #expect(body["Env"] == ["F=from file", "SET=value", "A=1", "SET=value"])
        #expect(body["Tty"] == true && body["OpenStdin"] == true && body["StdinOnce"] == true)
        #expect(body["Labels"] == ["x": "y"])
        #expect(body["Entrypoint"] == ["/bin/e"])
        #expect(body["Healthcheck"] == ["Test": ["CMD-SHELL", "true"], "Interval": 90_000_000_000])
        #expect(body["StopTimeout"] == 3)
    }

    @Test func limitsAndIsolation() throws {
        let host = try body([
            "-m", "512m", "--memory-swap", "-1", "--cpus", "1.5", "--pids-limit", "100", "--ulimit", "nofile=1:2",
            "--isolation", "microvm", "--allocation", "dedicated", "--restart", "on-failure:3", "--device",
            "/dev/fuse:r", "--tmpfs", "/run:size=1m", "i",
        ])["HostConfig"]
        #expect(host["Memory"] == 536_870_912 && host["MemorySwap"] == -1 && host["NanoCpus"] == 1_500_000_000)
        #expect(host["PidsLimit"] == 100)
        #expect(host["Ulimits"] == [["Name": "nofile", "Soft": 1, "Hard": 2]])
        #expect(host["Runtime"] == "microvm")
        #expect(host["Annotations"] == ["skala.allocation": "dedicated"])
        #expect(host["RestartPolicy"] == ["Name": "on-failure", "MaximumRetryCount": 3])
        #expect(
            host["Devices"] == [
                ["PathOnHost": "/dev/fuse", "PathInContainer": "/dev/fuse", "CgroupPermissions": "r"]
            ])
        #expect(host["Tmpfs"] == ["/run": "size=1m"])
    }

    @Test func thePod() throws {
        let host = try body(["--isolation", "pod", "--pod", "web", "--annotation", "a=b", "i"])["HostConfig"]
        #expect(host["Runtime"] == "pod" && host["Annotations"] == ["a": "b", "skala.pod": "web"])
    }

    @Test func networksAndPorts() throws {
        let body = try body([
            "--network", "front", "--network", "name=back,alias=b", "--network-alias", "w", "--ip", "10.0.0.2", "-p",
            "8080:80", "-p", "127.0.0.1:53:53/udp", "i",
        ])
        #expect(body["HostConfig"]["NetworkMode"] == "front")
        #expect(
            body["NetworkingConfig"]["EndpointsConfig"] == [
                "front": ["Aliases": ["w"], "IPAMConfig": ["IPv4Address": "10.0.0.2"]], "back": ["Aliases": ["b"]],
            ])
        #expect(
            body["HostConfig"]["PortBindings"] == [
                "80/tcp": [["HostIp": "", "HostPort": "8080"]], "53/udp": [["HostIp": "127.0.0.1", "HostPort": "53"]],
            ])
        #expect(body["ExposedPorts"] == ["80/tcp": [:], "53/udp": [:]])
    }

    @Test func storage() throws {
        let body = try body(["-v", "./a:/b:ro", "-v", "/anonymous", "-v", "named:/n", "i"])
        #expect(body["HostConfig"]["Binds"] == ["/here/./a:/b:ro", "named:/n"])
        #expect(body["Volumes"] == ["/anonymous": [:]])
    }

    @Test func aSeccompProfileIsSentItself() throws {
        let body = try body(
            ["--security-opt", "seccomp=p.json", "--security-opt", "seccomp=unconfined", "i"],
            files: ["p.json": "{}"])
        #expect(body["HostConfig"]["SecurityOpt"] == ["seccomp={}", "seccomp=unconfined"])
    }

    @Test(arguments: [
        ["--restart", "sometimes"], ["--restart", "always:2"], ["--cpus", "-1"], ["--cpus", "x"],
        ["--ulimit", "nofile"],
        ["--allocation", "all"], ["--device", "sda"], ["-p", "0:80"], ["-v", "a:b"], ["--mount", "type=bind"],
        ["--health-interval", "5"], ["--env-file", "missing"], ["--network", "name=,ip=1"],
    ])
    func mistakesAreRefused(words: [String]) {
        #expect(throws: SkalaError.self) { try body(words + ["i"]) }
    }

    @Test func exitStatusOfFailures() {
        #expect(
            StartFailure.status(of: "failed to start container: find the program 'x': no such file or directory") == 127
        )
        #expect(StartFailure.status(of: "exec: \"x\": executable file not found in $PATH") == 127)
        #expect(StartFailure.status(of: "find the program '/etc': permission denied") == 126)
        #expect(StartFailure.status(of: "bind source path does not exist: no such file or directory") == 125)
        #expect(StartFailure.status(of: "No such image: x") == 125)
    }
}
