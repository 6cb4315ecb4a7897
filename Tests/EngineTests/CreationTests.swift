import Base
import Testing

@testable import Engine
@testable import Images

/// What becomes of a create request.
struct CreationTests {
    private static let id = String(repeating: "ab", count: 32)

    static let image = Image(
        id: "sha256:" + String(repeating: "1", count: 64), tags: ["web:1"], repoDigests: [],
        configuration: ImageConfiguration([
            "config": [
                "Cmd": ["serve"], "Entrypoint": ["/entry"], "Env": ["PATH=/bin", "A=image"], "User": "web",
                "WorkingDir": "/srv", "ExposedPorts": ["80/tcp": [:]], "Volumes": ["/data": [:]],
                "Labels": ["a": "image", "b": "image"], "StopSignal": "SIGQUIT",
                "Healthcheck": ["Test": ["CMD", "check"], "Interval": 5],
            ]
        ]), size: 1)

    private func record(_ body: JSON, image: Image = CreationTests.image) throws -> ContainerRecord {
        try ContainerCreation(body: body, image: image, id: CreationTests.id).record(name: "n", imageName: "web:1")
    }

    @Test func theImageIsMergedIn() throws {
        let config = try record([:]).config
        #expect(config["Cmd"] == ["serve"] && config["Entrypoint"] == ["/entry"] && config["User"] == "web")
        #expect(config["Env"] == ["PATH=/bin", "A=image"] && config["WorkingDir"] == "/srv")
        #expect(config["ExposedPorts"] == ["80/tcp": [:]] && config["Volumes"] == ["/data": [:]])
        #expect(config["StopSignal"] == "SIGQUIT" && config["Healthcheck"]["Test"] == ["CMD", "check"])
        #expect(config["Hostname"].string == String(CreationTests.id.prefix(12)))
        #expect(config["Tty"] == false && config["OnBuild"] == .null)
        #expect(config.object?.keys.contains("MacAddress") == false, "unset optional fields are left out")
    }

    @Test func theUserComesFirst() throws {
        let config = try record([
            "Cmd": ["own"], "Env": ["A=mine", "B=2"], "User": "0", "WorkingDir": "/w", "Labels": ["a": "mine"],
            "ExposedPorts": ["90/udp": [:]], "StopSignal": "TERM", "Hostname": "h", "Healthcheck": ["Interval": 7],
        ]).config
        #expect(config["Cmd"] == ["own"] && config["Entrypoint"] == ["/entry"])
        #expect(
            config["Env"] == ["PATH=/bin", "A=mine", "B=2"] && config["User"] == "0" && config["WorkingDir"] == "/w")
        #expect(config["Labels"] == ["a": "mine", "b": "image"] && config["Hostname"] == "h")
        #expect(config["ExposedPorts"] == ["90/udp": [:], "80/tcp": [:]] && config["StopSignal"] == "TERM")
        #expect(config["Healthcheck"] == ["Test": ["CMD", "check"], "Interval": 7])
    }

    @Test func anOwnEntrypointDropsTheImagesCommand() throws {
        #expect(try record(["Entrypoint": ["/own"]]).config["Cmd"].isNull)
        #expect(try record(["Entrypoint": ["/own"], "Cmd": ["x"]]).commandLine == ["/own", "x"])
        // --entrypoint "" takes the image's away.
        for none: JSON in [[""], []] {
            let cleared = try record(["Entrypoint": none, "Cmd": ["x"]])
            #expect(cleared.config["Entrypoint"].isNull && cleared.commandLine == ["x"])
            let error = #expect(throws: SkalaError.self) { try record(["Entrypoint": none]) }
            #expect(error?.message == "no command specified")
        }
    }

    @Test func theHostsFieldsAreCompleted() throws {
        let host = try record([
            "HostConfig": ["CapAdd": ["net_admin"], "CapDrop": ["CAP_KILL", "all"], "Runtime": "runc"]
        ]).hostConfig
        #expect(host["CapAdd"] == ["CAP_NET_ADMIN"] && host["CapDrop"] == ["CAP_KILL", "ALL"])
        #expect(host["Runtime"] == "container" && host["NetworkMode"] == "bridge" && host["IpcMode"] == "private")
        #expect(host["ShmSize"] == 67_108_864 && host["RestartPolicy"]["Name"] == "no")
        #expect(host["LogConfig"] == ["Type": "json-file", "Config": [:]])
        #expect(host["MaskedPaths"].array?.isEmpty == false)
        #expect(try record(["HostConfig": ["Privileged": true]]).hostConfig["MaskedPaths"].isNull)
        #expect(host.object?.keys == ContainerDefaults.hostConfig.map(\.key))
        #expect(try record(["HostConfig": ["Nonsense": 1]]).hostConfig["Nonsense"].isNull)
    }

    @Test func theParentOfItsGroup() throws {
        func path(_ text: String) throws -> String? {
            CgroupParent.path(try record(["HostConfig": ["CgroupParent": JSON(text)]]).hostConfig, own: "/skala")
        }
        #expect(try path("") == nil)
        #expect(try path("/a") == "/a" && path("//a/./b/") == "/a/b" && path("/") == "")
        #expect(try path("a/b") == "/skala/a/b" && path(".") == "/skala")
        #expect(try path("/system.slice/my.service/a") == "/system.slice/my.service/a", "delegated by systemd")
        let container = String(repeating: "0f", count: 32)
        for (text, reason) in [
            ("..", "'..'"), ("/a/../b", "'..'"), ("a:b", "no colon"), ("/a\nb", "no colon"), ("my.slice", "systemd's"),
            ("/a/b.slice", "systemd's"), ("/skala/" + container, "0f0f0f0f0f0f is a container's own group"),
            (container + "/x", "own group"), ("/" + String(repeating: "a", count: 256), "too long"),
            (String(repeating: "/a", count: 600), "too long"),
        ] {
            let error = #expect(throws: SkalaError.self) { try path(text) }
            #expect(error?.code == .invalid && error?.message.contains(reason) == true, "\(text)")
        }
        let error = #expect(throws: SkalaError.self) {
            try record(["HostConfig": ["CgroupParent": "/a", "Runtime": "pod"]])
        }
        #expect(error?.message.contains("--cgroup-parent is not possible at isolation pod") == true)
    }

    @Test func networksAreInOrder() throws {
        let networks = try record([
            "HostConfig": ["NetworkMode": "front"], "MacAddress": "02:42:ac:11:00:02",
            "NetworkingConfig": ["EndpointsConfig": ["back": .null, "front": ["Aliases": ["web"]]]],
        ]).networks
        #expect(networks.keys == ["front", "back"])
        #expect(
            networks["front"] == ["Aliases": ["web"], "MacAddress": "02:42:ac:11:00:02"] && networks["back"] == [:])
        for mode in ["host", "none", "container:x"] {
            #expect(try record(["HostConfig": ["NetworkMode": JSON(mode)]]).networks.isEmpty)
        }
        #expect(try record(["NetworkDisabled": true]).networks.isEmpty)
        #expect(try record([:]).networks.keys == ["bridge"])
    }

    /// The host configuration that is refused, and Docker's text for it.
    @Test(
        arguments: [
            (#"{"Memory": 1000}"#, "Minimum memory limit allowed is 6MB"),
            (
                #"{"Memory": 67108864, "MemorySwap": 1}"#,
                "Minimum memoryswap limit should be larger than memory limit, see usage"
            ),
            (
                #"{"NanoCpus": 1000000000, "CpuQuota": 5}"#,
                "Conflicting options: Nano CPUs and CPU Period cannot both be set"
            ),
            (#"{"NanoCpus": -1}"#, "invalid CPU limit: -1"),
            (
                #"{"AutoRemove": true, "RestartPolicy": {"Name": "always"}}"#,
                "can't create 'AutoRemove' container with restart policy"
            ),
            (#"{"RestartPolicy": {"Name": "x"}}"#, "invalid restart policy: unknown policy 'x'"),
            (#"{"Runtime": "kata"}"#, "unknown or invalid runtime name: kata"),
            (#"{"LogConfig": {"Type": "syslog"}}"#, "logger: no log driver named 'syslog' is registered"),
            (#"{"SecurityOpt": ["nonsense"]}"#, #"invalid --security-opt 2: "nonsense""#),
            (#"{"SecurityOpt": ["seccomp={"]}"#, "invalid JSON"),
            (#"{"SecurityOpt": ["apparmor=mine"]}"#, "--security-opt apparmor=mine: AppArmor"),
            (#"{"SecurityOpt": ["label=type:mine"]}"#, "--security-opt label=type:mine: AppArmor"),
            (#"{"CapAdd": ["CAP_MOON"]}"#, #"invalid capability: "CAP_MOON""#),
            (#"{"StorageOpt": {"size": "1G"}}"#, "HostConfig.StorageOpt is not supported: "),
            (#"{"CpuRealtimeRuntime": 5}"#, "HostConfig.CpuRealtimeRuntime is not supported: "),
            (#"{"DeviceRequests": [{"Count": -1}]}"#, "HostConfig.DeviceRequests is not supported: "),
            (#"{"Links": ["a:b"]}"#, "HostConfig.Links is not supported: "),
            (#"{"UsernsMode": "private"}"#, "invalid userns mode: private"),
            (#"{"VolumeDriver": "nfs"}"#, "error looking up volume plugin nfs"),
            (#"{"Isolation": "hyperv"}"#, "isolation hyperv"),
            (#"{"PortBindings": {"x": []}}"#, "invalid port specification"),
        ])
    func whatCannotBeIsRefused(host: String, text: String) throws {
        let document = try JSON(parsing: host)
        let error = #expect(throws: SkalaError.self) { try record(["HostConfig": document]) }
        #expect(error?.message.hasPrefix(text) == true, "\(error?.message ?? "")")
    }

    @Test func whatCannotBeInTheConfigurationIsRefused() {
        for body: JSON in [
            ["WorkingDir": "relative"], ["StopSignal": "SIGMOON"], ["ArgsEscaped": true],
            ["NetworkingConfig": ["EndpointsConfig": ["bridge": ["GwPriority": 5]]]],
        ] {
            #expect(throws: SkalaError.self) { try record(body) }
        }
        #expect(throws: Never.self) {
            try record([
                "NetworkingConfig": [
                    "EndpointsConfig": ["bridge": ["GwPriority": 0, "Links": .null, "DriverOpts": [:]]]
                ]
            ])
        }
    }

    @Test func recordsSurviveTheStore() throws {
        var record = try record([:])
        record.mounts = try MountParser(
            host: ["Binds": ["/a:/b:ro", "vol:/c"], "Tmpfs": ["/t": "size=1"]], config: [:]
        )
        .mounts
        record.state.status = .exited
        record.state.exitCode = 137
        record.state.isOOMKilled = true
        record.state.startedAt = Timestamp(seconds: 5)
        record.restartCount = 3
        record.hasBeenManuallyStopped = true
        let again = try ContainerRecord(json: JSON(parsing: record.json.text))
        #expect(again.json == record.json)
        #expect(again.state.startedAt == Timestamp(seconds: 5) && again.state.finishedAt == nil)
        #expect(throws: SkalaError.self) { try ContainerRecord(json: [:]) }
    }

    @Test func capabilitiesAreDockers() {
        func set(_ add: [String] = [], _ drop: [String] = [], privileged: Bool = false) -> Set<String> {
            Set(ContainerCapabilities.set(privileged: privileged, add: add, drop: drop))
        }
        #expect(set() == Set(ContainerCapabilities.defaults) && set().count == 14)
        #expect(set(["ALL"]) == Set(ContainerCapabilities.all) && set(privileged: true).count == 41)
        #expect(set([], ["ALL"]).isEmpty && set(["CAP_CHOWN"], ["ALL"]) == ["CAP_CHOWN"])
        #expect(set(["ALL"], ["CAP_SYS_ADMIN"]).count == 40 && !set(["CAP_KILL"], ["CAP_KILL"]).contains("CAP_KILL"))
    }
}
