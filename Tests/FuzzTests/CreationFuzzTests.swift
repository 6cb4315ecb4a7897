import Base
import OCI
import TestSupport
import Testing

@testable import Engine
@testable import Images

/// Requests to create a container: refused with a reason, or they become a specification the warden takes.
@Suite(.timeLimit(.minutes(60))) struct CreationFuzzTests {
    private static let request = #"""
        {"Image":"x","Cmd":["sh"],"Env":["A=b","C"],"Tty":true,"User":"1:2","WorkingDir":"/w","ExposedPorts":{"80/tcp":{}},
        "Volumes":{"/v":{}},"Labels":{"a":"b"},"StopSignal":"RTMIN+3","StopTimeout":-1,"Healthcheck":{"Test":["CMD","x"],
        "Interval":9223372036854775807,"Retries":2},"HostConfig":{"Binds":["/a:/b:ro","v1:/c"],"Mounts":[{"Type":"tmpfs","Target":
        "/t","TmpfsOptions":{"SizeBytes":5,"Mode":511}}],"Tmpfs":{"/r":"size=1m"},"PortBindings":{"80/tcp":[{"HostIp":"127.0.0.1",
        "HostPort":"8080"}]},"RestartPolicy":{"Name":"on-failure","MaximumRetryCount":3},"Memory":9223372036854775807,
        "MemorySwap":-1,"NanoCpus":1500000000,"CpuShares":512,"CpusetCpus":"0-1","PidsLimit":-1,"Ulimits":[{"Name":"nofile",
        "Soft":1,"Hard":2}],"CapAdd":["ALL"],"CapDrop":["net_raw"],"SecurityOpt":["seccomp=unconfined","no-new-privileges"],
        "Sysctls":{"a.b":"1"},"DeviceCgroupRules":["c 1:3 rwm"],"Annotations":{"skala.allocation":"shared"},"NetworkMode":"n1"},
        "NetworkingConfig":{"EndpointsConfig":{"n1":{"Aliases":["x"],"IPAMConfig":{"IPv4Address":"10.0.0.2"}}}}}
        """#

    @Test func creation() async throws {
        let image = Image(
            id: "sha256:1", tags: [], repoDigests: [],
            configuration: ImageConfiguration(["config": ["Cmd": ["x"], "Healthcheck": ["Test": ["CMD", "y"]]]]),
            size: 0)
        var good = 0
        try await Fuzz.run("creation") { random in
            guard let body = try? JSON(parsing: random.mutate(Array(CreationFuzzTests.request.utf8))) else { return }
            let creation = ContainerCreation(body: body, image: image, id: String(repeating: "ab", count: 32))
            guard let made = try? creation.record(name: "n", imageName: "x"),
                let mounts = try? MountParser(host: made.hostConfig, config: made.config).mounts,
                let allocation = try? Allocation(made.hostConfig)
            else { return }
            var record = made
            record.mounts = mounts
            guard try ContainerRecord(json: JSON(parsing: record.json.text)).json == record.json else {
                throw FuzzTests.Differs(description: record.json.text)
            }
            _ = HealthMonitor(record.config["Healthcheck"], shell: ["sh"])
            let spec = ContainerSpec(
                record: record, networkNamespace: .path("/n"), etcFiles: [], joined: [:], cgroupParent: "/s",
                defaultPidsLimit: 10, user: ["uid": 0, "gid": 0], devices: [], allocation: allocation, cores: nil,
                initProgram: nil
            ).json
            // The warden may still refuse it: limits and paths are for it to check.
            _ = try? RuntimeSpec(spec)
            good += 1
        }
        #expect(good > 0 || Fuzz.isOneRound)
    }
}
