import Base
import Networks
import Testing

@testable import Engine
@testable import Images

/// Machines: what a create request may ask for, and what the guest is told.
struct MachineTests {
    private static let id = String(repeating: "ab", count: 32)

    private func record(_ body: JSON, host: JSON = [:]) throws -> ContainerRecord {
        var body = body
        var host = host
        host["Runtime"] = "machine"
        body["HostConfig"] = host
        return try ContainerCreation(body: body, image: CreationTests.image, id: MachineTests.id).record(
            name: "n", imageName: "web:1")
    }

    @Test func theImageSaysNothingOfPrograms() throws {
        let record = try record(["Env": ["A=1"]], host: ["StorageOpt": ["size": "2G"], "MemorySwappiness": -1])
        #expect(record.isolation == .machine && record.commandLine.isEmpty)
        #expect(record.config["Env"] == ["A=1"] && record.config["User"] == "" && record.config["Volumes"].isNull)
        #expect(record.config["OpenStdin"] == true && record.config["Healthcheck"].isNull)
        #expect(record.config["ExposedPorts"] == ["80/tcp": [:]])
        #expect(try DiskMachineLimits.diskSize(record.hostConfig) == 2 << 30)
    }

    @Test func whatHasNoMeaningIsRefused() {
        for body: JSON in [
            ["Cmd": ["sh"]], ["Entrypoint": ["sh"]], ["User": "1"], ["WorkingDir": "/x"], ["Volumes": ["/x": [:]]],
            ["StopSignal": "INT"], ["Healthcheck": ["Test": ["CMD", "x"]]], ["Hostname": "a\nb: c"],
            ["Env": ["A=1\n2"]],
        ] {
            #expect(throws: SkalaError.self, "\(body.text)") { try record(body) }
        }
        for host: JSON in [
            ["Binds": ["/a:/b"]], ["Mounts": [["Type": "tmpfs", "Target": "/x"]]], ["Tmpfs": ["/x": ""]],
            ["CapAdd": ["ALL"]], ["CapDrop": ["ALL"]], ["Privileged": true], ["SecurityOpt": ["no-new-privileges"]],
            ["Sysctls": ["a": "b"]], ["PidsLimit": 5], ["ReadonlyRootfs": true], ["Init": true], ["ShmSize": 5],
            ["Devices": [["PathOnHost": "/dev/null"]]], ["NetworkMode": "host"], ["NetworkMode": "container:x"],
            ["PidMode": "host"], ["IpcMode": "host"], ["UTSMode": "host"], ["CgroupnsMode": "host"],
            ["StorageOpt": ["other": "1"]], ["StorageOpt": ["size": "much"]], ["Memory": 1_048_576],
            ["Annotations": ["skala.firmware": "x"]], ["ExtraHosts": ["a:1.2.3.4"]], ["MemorySwap": 1_073_741_824],
        ] {
            #expect(throws: SkalaError.self, "\(host.text)") { try record([:], host: host) }
        }
        #expect(throws: SkalaError.self) {
            try record(["Env": ["A=1"]], host: ["Annotations": ["skala.user-data": "x"]])
        }
        // What the docker command sends of itself.
        #expect(throws: Never.self) {
            try record(
                ["Cmd": .null, "Volumes": [:], "WorkingDir": ""],
                host: ["Binds": .null, "ShmSize": 0, "PidsLimit": 0, "IpcMode": "", "CgroupnsMode": "", "Init": .null])
        }
    }

    @Test func theGuestIsTold() throws {
        let variables = ["A=1", "B"]
        let files = CloudInit(
            id: MachineTests.id, hostname: "box", endpoint: nil, nameServers: [], searchDomain: nil,
            variables: variables, userData: nil
        ).files
        #expect(files.map(\.name) == ["meta-data", "user-data", "network-config"])
        #expect(files[0].content == "instance-id: \(MachineTests.id)\nlocal-hostname: box\n")
        #expect(
            files[1].content
                == "#cloud-config\nwrite_files:\n  - path: /etc/environment\n    append: true\n    content: |\n      A=1\n"
        )
        #expect(files[2].content == "version: 2\nethernets: {}\n")
        let own = CloudInit(
            id: "i", hostname: "h", endpoint: nil, nameServers: [], searchDomain: nil, variables: [],
            userData: "#!/bin/sh\n")
        #expect(own.files[1].content == "#!/bin/sh\n")
    }
}
